"""A TFTP client for tests and measurements: many downloads at once in one thread, by epoll.

Independent of the server's code. RFC 1350, 2348, 7440; block numbers wrap; everything is hashed.
"""

from __future__ import annotations

import hashlib
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_DATA, _ACK, _ERROR, _OACK = 3, 4, 5, 6
_RESEND_S = 0.5
_HEADER = struct.Struct("!HH")
_UDP_GRO = 104
"""Linux: several datagrams of one sender in one system call."""
_BUFFER = memoryview(bytearray(65536))


@dataclass(eq=False)
class Download:
    """One file from `server`. `error` is empty and `digest` set after success."""

    server: tuple[str, int]
    filename: str
    block_size: int = 1428
    window_size: int = 1
    digest: str = ""
    size: int = 0
    error: str = ""
    duplicates: int = 0
    """DATA packets that had arrived before."""
    _block: int = 0
    _since_ack: int = 0
    _told_gap: bool = False
    _window: int = 1
    _length: int = 512
    _peer: tuple[str, int] | None = None

    def again(self) -> Download:
        """The same request, not yet started."""
        return Download(self.server, self.filename, self.block_size, self.window_size)

    def start(self, now: float) -> None:
        self._hash = hashlib.sha256()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        self.socket.bind(("", 0))
        self._send_request(now)

    @property
    def done(self) -> bool:
        return bool(self.digest or self.error)

    def receive(self, now: float) -> None:
        """Take everything that has arrived."""
        while not self.done:
            try:
                size, control, _, sender = self.socket.recvmsg_into([_BUFFER], 64)
            except BlockingIOError:
                return
            if self._peer is None:
                self._peer = sender
                self.socket.connect(sender)
            step = int.from_bytes(control[0][2][:4], sys.byteorder) if control else size
            for start in range(0, size, max(step, 1)):
                self._take(_BUFFER[start : min(start + step, size)], now)

    def tick(self, now: float) -> None:
        """Say again what was not answered."""
        if now - self._heard >= _RESEND_S:
            if self._peer is None:
                self._send_request(now)
            else:
                self._acknowledge(now)

    def _send_request(self, now: float) -> None:
        options = [b"blksize", b"%d" % self.block_size]
        if self.window_size > 1:
            options += [b"windowsize", b"%d" % self.window_size]
        words = [self.filename.encode(), b"octet", *options]
        self.socket.sendto(b"\0\x01" + b"".join(word + b"\0" for word in words), self.server)
        self._heard = now

    def _take(self, packet: memoryview, now: float) -> None:
        kind, number = _HEADER.unpack_from(packet)
        if kind == _DATA:
            self._data(number, packet, now)
        elif kind == _OACK and self._block == 0:
            words = bytes(packet[2:]).split(b"\0")
            options = dict(zip(words[::2], words[1::2], strict=False))
            self._length = int(options.get(b"blksize", 512))
            self._window = int(options.get(b"windowsize", 1))
            self._acknowledge(now)
        elif kind == _ERROR:
            self.error = f"error {number}: {bytes(packet[4:]).rstrip(bytes(1)).decode()}"

    def _data(self, number: int, packet: memoryview, now: float) -> None:
        if number != (self._block + 1) & 0xFFFF:
            self.duplicates += (self._block - number) & 0xFFFF < 0x8000
            if not self._told_gap:
                self._told_gap = True
                self._acknowledge(now)
            return
        self._block += 1
        self._since_ack += 1
        self._told_gap = False
        self.size += len(packet) - 4
        self._hash.update(packet[4:])
        last = len(packet) - 4 < self._length
        if last or self._since_ack >= self._window:
            self._acknowledge(now)
        if last:
            self.digest = self._hash.hexdigest()

    def _acknowledge(self, now: float) -> None:
        self._since_ack = 0
        self._heard = now
        try:
            self.socket.send(_HEADER.pack(_ACK, self._block & 0xFFFF))
        except ConnectionRefusedError:
            self.error = "the server closed the transfer"


@dataclass
class Campaign:
    """How a number of downloads went."""

    downloads: Sequence[Download]
    seconds: float
    failures: list[str] = field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        return sum(one.size for one in self.downloads)

    @property
    def megabytes_per_second(self) -> float:
        return self.total_bytes / 1e6 / self.seconds


def fetch(downloads: Sequence[Download], limit_s: float = 60.0) -> Campaign:
    """Run all downloads at once; unfinished ones fail after `limit_s`."""
    began = time.monotonic()
    waiting = {}
    with select.epoll() as epoll:
        for one in downloads:
            one.start(time.monotonic())
            waiting[one.socket.fileno()] = one
            epoll.register(one.socket, select.EPOLLIN)
        next_tick = began + _RESEND_S / 2
        while waiting and time.monotonic() - began < limit_s:
            for fd, _ in epoll.poll(_RESEND_S / 2):
                one = waiting[fd]
                one.receive(time.monotonic())
                if one.done:
                    epoll.unregister(fd)
                    waiting.pop(fd).socket.close()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + _RESEND_S / 2
                for one in waiting.values():
                    one.tick(time.monotonic())
    for one in waiting.values():
        one.error = f"not finished within {limit_s:g} s, at block {one._block}"
        one.socket.close()
    failures = [f"{one.filename}: {one.error}" for one in downloads if one.error]
    return Campaign(downloads, time.monotonic() - began, failures)
