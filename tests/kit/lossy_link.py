"""A line that loses packets: a seeded UDP relay in front of a TFTP server."""

from __future__ import annotations

import random
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Self

_STOP_CHECK_S = 0.1
_BUFFER = 8 << 20
_BURST = 256


@dataclass(eq=False)
class _Pair:
    """One client's two sockets: `down` faces it, `up` faces the server."""

    client: tuple[str, int]
    server: tuple[str, int]
    down: socket.socket
    up: socket.socket


@dataclass
class LossyLink:
    """Relays between clients of `port` and `server`, dropping `loss` of the packets both ways.

    A client's further packets go to the port its first reply came from, as in real TFTP.
    """

    server: tuple[str, int]
    loss: float
    seed: int = 1
    carried: int = 0
    dropped: int = 0
    _pairs: dict[tuple[str, int], _Pair] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Relay in a thread while the block runs."""
        self._random = random.Random(self.seed)
        stop = threading.Event()
        with ExitStack() as self._open, selectors.EpollSelector() as self._selector:
            self._front = self._socket()
            self._front.setblocking(False)
            self.port: int = self._front.getsockname()[1]
            self._selector.register(self._front, selectors.EVENT_READ, self._requests)
            thread = threading.Thread(target=self._relay, args=(stop,), name="lossy-link")
            thread.start()
            try:
                yield self
            finally:
                stop.set()
                thread.join()

    def _relay(self, stop: threading.Event) -> None:
        while not stop.is_set():
            for key, _ in self._selector.select(_STOP_CHECK_S):
                key.data()

    def _requests(self) -> None:
        """Take all requests that wait: on a busy line they must not starve behind the data."""
        for _ in range(_BURST):
            try:
                packet, client = self._front.recvfrom(65535)
            except BlockingIOError:
                return
            self._request(packet, client)

    def _request(self, packet: bytes, client: tuple[str, int]) -> None:
        pair = self._pairs.get(client)
        if pair is None:
            pair = _Pair(client, self.server, self._socket(), self._socket())
            self._pairs[client] = pair
            self._selector.register(pair.down, selectors.EVENT_READ, lambda: self._up(pair))
            self._selector.register(pair.up, selectors.EVENT_READ, lambda: self._down(pair))
        self._carry(pair.up, packet, self.server)

    def _up(self, pair: _Pair) -> None:
        self._carry(pair.up, pair.down.recv(65535), pair.server)

    def _down(self, pair: _Pair) -> None:
        packet, pair.server = pair.up.recvfrom(65535)
        self._carry(pair.down, packet, pair.client)

    def _carry(self, out: socket.socket, packet: bytes, to: tuple[str, int]) -> None:
        if self._random.random() < self.loss:
            self.dropped += 1
            return
        self.carried += 1
        out.sendto(packet, to)

    def _socket(self) -> socket.socket:
        one = self._open.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        one.bind(("127.0.0.1", 0))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        return one
