"""How the API says no: JSON with what is wrong and what to do."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from sqlalchemy.exc import DatabaseError
from werkzeug.exceptions import HTTPException

from agent.api.errors import TridentError
from bootserver.settings import normalize_mac

_LOG = logging.getLogger(__name__)


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: int, error: str, hint: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint


def parse_mac(text: str) -> str:
    """A MAC address in a URL. Raises Refusal."""
    try:
        return normalize_mac(text)
    except ValueError as error:
        raise Refusal(400, f"{text[:64]!r}: {error}", "use aa:bb:cc:dd:ee:ff") from error


def handle_errors(app: Flask) -> None:
    """The door of the API: whatever is raised becomes an answer; only our own faults are 5xx."""

    def refused(error: Refusal) -> Response:
        return _answer(error.status, error.error, error.hint)

    def unavailable(error: TridentError) -> Response:
        _LOG.error("%s", error.one_line())
        return _answer(503, error.message, error.hint or "see the boot server's log")

    def busy(error: DatabaseError) -> Response:
        _LOG.error("the database cannot be used: %s", error.orig)
        return _answer(503, "the boot server's database cannot be used", "see its log, try again")

    def other(error: HTTPException) -> Response:
        return _answer(error.code or 500, error.name, error.description or "")

    app.register_error_handler(Refusal, refused)
    app.register_error_handler(TridentError, unavailable)
    app.register_error_handler(DatabaseError, busy)
    app.register_error_handler(HTTPException, other)


def _answer(status: int, error: str, hint: str) -> Response:
    response = jsonify({"error": error, "hint": hint})
    response.status_code = status
    return response
