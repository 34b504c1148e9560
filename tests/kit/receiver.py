"""A real HTTP server on loopback that keeps what is posted to it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.kit import ports


@dataclass
class Receiver:
    """`answer(path, n)` gives the status of the n-th request (from 1) to a path."""

    answer: Callable[[str, int], int] = lambda path, n: 201
    port: int = 0
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    """Path and body of each POST, refused ones too, in order of arrival."""
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def bodies(self, path: str) -> list[dict[str, Any]]:
        with self.arrived:
            return [json.loads(body) for where, body in self.posts if where == path]

    def wait_for(self, count: int, path: str, timeout_s: float = 10) -> list[dict[str, Any]]:
        """The bodies posted to `path` once there are `count` of them."""
        with self.arrived:
            reached = self.arrived.wait_for(
                lambda: sum(where == path for where, _ in self.posts) >= count, timeout_s
            )
        assert reached, f"only {len(self.bodies(path))} of {count} posts to {path}"
        return self.bodies(path)


@contextmanager
def receiver(
    answer: Callable[[str, int], int] | None = None, bound: socket.socket | None = None
) -> Iterator[Receiver]:
    """A running Receiver on the bound socket given, else on any free port."""
    state = Receiver(answer) if answer else Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with state.arrived:
                state.posts.append((self.path, body))
                number = sum(where == self.path for where, _ in state.posts)
                state.arrived.notify_all()
            self.send_response(state.answer(self.path, number))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler, bind_and_activate=bound is None) as server:
        if bound is not None:
            server.socket.close()
            server.socket = bound
            server.server_activate()
        state.port = ports.number(server.socket)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
