"""The HTTP server: gunicorn with threads (`worker`), started in this process.

Connections persist (EDK2's HTTP boot needs that), files leave through sendfile. A client that takes
nothing for a minute, or stops in the middle of its request for five seconds, is cut off, so it
cannot hold a thread for ever.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication

from agent.api.errors import Kind, TridentError
from bootserver import process
from bootserver.http import app
from bootserver.services import Services
from bootserver.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_STALLED_CLIENT_MS: Final = 60_000
_RECEIVE_TIMEOUT_S: Final = 5
_STOP_WITHIN_S: Final = 1
_KEEP_ALIVE_S: Final = 75
_CONNECTIONS: Final = 4096
_BACKLOG: Final = 2048


class HttpServer(BaseApplication):  # type: ignore[misc]
    """Serves the API and files of `settings` until SIGTERM. `ready` is called once it listens."""

    def __init__(self, settings: Settings, ready: Callable[[], None]) -> None:
        self._settings = settings
        self._ready = ready
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings."""
        http = self._settings.http
        for name, value in {
            "bind": [f"{address}:{http.port}" for address in self._settings.listen_addresses],
            "workers": http.workers,
            "worker_class": "bootserver.http.worker.Worker",
            "threads": http.threads,
            "worker_connections": _CONNECTIONS,
            "backlog": _BACKLOG,
            "keepalive": _KEEP_ALIVE_S,
            "graceful_timeout": _STOP_WITHIN_S,
            "timeout": 60,
            "worker_tmp_dir": "/dev/shm",
            "proc_name": "trident-bootserver",
            "logger_class": "bootserver.http.logging.Logger",
            "when_ready": self._when_ready,
            "post_fork": _post_fork,
            "control_socket_disable": True,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """The application of one worker: opened after the fork."""
        return app.create(Services.open(self._settings))

    def _when_ready(self, arbiter: Any) -> None:
        for listener in arbiter.LISTENERS:
            _bound_patience(listener.sock)
        self._ready()


def require_free(settings: Settings) -> None:
    """Check that the server can listen. Raises http-port-unavailable."""
    port = settings.http.port
    for address in settings.listen_addresses:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((str(address), port))
                probe.listen(1)
            except OSError as error:
                raise TridentError(
                    Kind.EXECUTION_ENVIRONMENT,
                    "http-port-unavailable",
                    f"TCP port {port} on {address} can't be served: {error.strerror or error}",
                    hint=f"stop what listens there (ss -ltnp 'sport = :{port}'), check that "
                    f"{address} is configured, or change http.port in the settings",
                    fields={"address": str(address), "port": str(port)},
                ) from error


def _bound_patience(listener: socket.socket) -> None:
    """Limits that accepted connections inherit: for unsent data, and for reading a request."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_CLIENT_MS)
    receive = struct.pack("ll", _RECEIVE_TIMEOUT_S, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, receive)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _post_fork(_arbiter: Any, _worker: Any) -> None:
    process.end_with_parent()
