"""gunicorn's threaded worker for clients that ask for files, one request after another.

gunicorn's own gives every new connection a thread before its request has come, and moves a
connection from its thread to the poller and on to another thread between two requests. Each of
these hand-overs costs several switches for the interpreter lock, more than a small range itself.
"""

from __future__ import annotations

import errno
import select
import selectors
import socket
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

_NEXT_REQUEST_MS: Final = 2
_CLIENT_IS_GONE: Final = frozenset((errno.EAGAIN, errno.ECONNABORTED))


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker class of the HTTP server."""

    def accept(self, listener: Any) -> None:
        """Take a connection; it gets a thread once its request begins to come in."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _CLIENT_IS_GONE:
                return
            raise
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.set_timeout()
        self.pending_conns.append(connection)
        come = partial(self.on_pending_socket_readable, connection)
        self.poller.register(client, selectors.EVENT_READ, come)

    def handle(self, conn: TConn) -> Any:
        """Serve a request in a thread of the pool, and what the client asks right after it."""
        while True:
            outcome = super().handle(conn)
            if outcome is not True or not self.alive or not _asks_again(conn.sock):
                return outcome


def _asks_again(client: socket.socket) -> bool:
    """Whether the next request comes at once (or the client closes the connection)."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    return bool(poll.poll(_NEXT_REQUEST_MS))
