"""Answers of WSGI applications that serve bytes: whole, one range, or none (RFC 9110)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bootserver.http.ranges import Part, Selection, Unsatisfiable, Whole, select

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def selection(environ: WSGIEnvironment, etag: str, size: int) -> Selection:
    """What of a body of `size` bytes a request asks for, If-Range considered."""
    condition = environ.get("HTTP_IF_RANGE")
    if condition is not None and condition != etag:
        return Whole()
    return select(environ.get("HTTP_RANGE"), size)


def head(selected: Selection, size: int) -> tuple[str, list[tuple[str, str]], int, int]:
    """Status line, headers, first byte and number of bytes of the answer."""
    match selected:
        case Whole():
            return "200 OK", [], 0, size
        case Part(start, length):
            header = f"bytes {start}-{start + length - 1}/{size}"
            return "206 Partial Content", [("Content-Range", header)], start, length
        case Unsatisfiable():
            header = f"bytes */{size}"
            return "416 Range Not Satisfiable", [("Content-Range", header)], 0, 0


def refuse(
    start_response: StartResponse, line: str, headers: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    """Answer with a status line and no body."""
    start_response(line, [*(headers or []), ("Content-Length", "0")])
    return []


def not_allowed(start_response: StartResponse) -> Iterable[bytes]:
    """Answer that bytes can only be read."""
    return refuse(start_response, "405 Method Not Allowed", [("Allow", "GET, HEAD")])
