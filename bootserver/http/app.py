"""The WSGI application: files straight from disk, everything else through Flask."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from sqlalchemy.exc import DatabaseError

from bootserver.http import boot_routes, machine_routes, report_routes
from bootserver.http.files import FileServer, Served
from bootserver.http.isos import IsoServer
from bootserver.http.refusal import handle_errors
from bootserver.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOG = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 4 << 20
"""Of a report; the largest is a phonehome with a Host Status."""


class _Json(DefaultJSONProvider):
    """Keys in the order they are documented in."""

    sort_keys = False


def create(services: Services) -> WSGIApplication:
    """The application of one worker process."""
    api = create_api(services)

    def served(request: Served) -> None:
        _LOG.info(
            "addr=%s %s /%s/%s status=%d start=%d bytes=%d",
            request.address,
            request.method,
            request.folder,
            quote(request.path),
            request.status,
            request.start,
            request.length,
        )
        try:
            services.observer.served(request)
        except DatabaseError as error:
            # The file matters more than its entry.
            _LOG.error("a timeline entry is lost: %s", error.orig)

    settings = services.settings
    isos = IsoServer(services.media, served)
    files = FileServer({"artifacts": settings.artifacts, "files": settings.files}, served)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if "//" in path:
            # Firmware doubles slashes and does not follow redirects.
            path = "/" + "/".join(part for part in path.split("/") if part)
            environ["PATH_INFO"] = path
        if files.serves(path):
            return files(environ, start_response)
        if isos.serves(path):
            return isos(environ, start_response)
        return api(environ, start_response)

    return application


def create_api(services: Services) -> Flask:
    """The Flask application without the files."""
    api = Flask("bootserver", static_folder=None)
    api.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    api.json = _Json(api)
    api.url_map.strict_slashes = False
    api.url_map.merge_slashes = False
    handle_errors(api)
    for routes in (boot_routes, machine_routes, report_routes):
        api.register_blueprint(routes.blueprint(services))
    return api
