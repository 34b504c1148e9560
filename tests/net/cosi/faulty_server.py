"""A small HTTP server on loopback that serves one object by ranges, and misbehaves on request."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.kit import ports


@dataclass(frozen=True)
class Request:
    """What a client asked for. `first` and `last` are None without a Range header."""

    path: str
    headers: dict[str, str]
    first: int | None
    last: int | None


@dataclass
class Reply:
    """What to send, and how."""

    status: int = 206
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    piece_bytes: int = 1 << 16
    reset_after: int | None = None
    """Break the connection (RST) after this many bytes of the body."""
    pause_s: float = 0.0
    """Wait this long before every piece."""


Behaviour = Callable[["FaultyServer", Request], Reply]


def ranges(server: FaultyServer, request: Request) -> Reply:
    """The well-behaved answer."""
    total = len(server.content)
    if request.first is None:
        return Reply(200, {"Content-Length": str(total)}, server.content)
    if request.first >= total:
        return Reply(416, {"Content-Range": f"bytes */{total}", "Content-Length": "0"})
    last = total - 1 if request.last is None else min(request.last, total - 1)
    body = server.content[request.first : last + 1]
    headers = {
        "Content-Range": f"bytes {request.first}-{last}/{total}",
        "Content-Length": str(len(body)),
        "ETag": server.etag,
    }
    return Reply(206, headers, body)


class FaultyServer:
    """Serves `content`; `behaviour` makes each reply. A context manager; restartable."""

    def __init__(
        self,
        content: bytes,
        behaviour: Behaviour = ranges,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.content = content
        self._tls = tls
        self.behaviour = behaviour
        self.etag = '"one"'
        self.requests: list[Request] = []
        self.port = ports.claimed()
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/image.cosi"

    def start(self) -> None:
        self._stopping.clear()
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        self._start_thread(self._accept, listener)

    def stop(self) -> None:
        """Like a kill: all connections break at once and the port refuses new ones."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            _break(client)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self.stop()

    def _start_thread(
        self, target: Callable[[socket.socket], None], argument: socket.socket
    ) -> None:
        thread = threading.Thread(target=target, args=(argument,))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients.add(client)
            self._start_thread(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            request = _parse(client)
            if request is not None:
                with self._lock:
                    self.requests.append(request)
                self._send(client, self.behaviour(self, request))
        except OSError:
            pass
        finally:
            with self._lock:
                self._clients.discard(client)
            client.close()

    def _send(self, client: socket.socket, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} Whatever", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        end = len(reply.body) if reply.reset_after is None else reply.reset_after
        for at in range(0, end, reply.piece_bytes):
            if reply.pause_s and self._stopping.wait(reply.pause_s):
                return
            client.sendall(reply.body[at : min(at + reply.piece_bytes, end)])
        if reply.reset_after is not None:
            _reset(client)


def _parse(client: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            return None
        data += more
    first_line, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
    first = int(match[1]) if match else None
    last = int(match[2]) if match and match[2] else None
    return Request(first_line.split(" ")[1], headers, first, last)


def _reset(client: socket.socket) -> None:
    """Close with RST instead of FIN."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _break(client: socket.socket) -> None:
    """Wake the thread that serves this client; it closes the socket."""
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
