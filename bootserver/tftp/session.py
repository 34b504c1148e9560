"""One transfer with its socket: receives ACKs, does what the state machine says, sees its end.

A firmware's probe (ask for tsize, then abort or fall silent) is normal and ends without an event.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bootserver.tftp.content import Files, Source
from bootserver.tftp.packet import Ack, Error, ErrorCode, OptionAck, PacketError, encode, parse
from bootserver.tftp.sending import Truncated, WindowSender
from bootserver.tftp.transfer import Done, GiveUp, OfferTerms, Step, Terms, Transfer, Window

EventName = Literal["read", "done", "failed"]
_IP_MTU = 14
"""Linux: <linux/in.h>."""
_MAX_ACK = 1024
_RESTART_S = 5.0
"""No client restarts and asks again faster than this."""
_BURST = 8


@dataclass(frozen=True)
class TftpEvent:
    """One line of a machine's timeline, which is found by the client's address."""

    event: EventName
    client: str
    file: str
    detail: Mapping[str, str | int | float] = field(default_factory=dict)
    """read: bytes; done: bytes, seconds; failed: why, and bytes if any were sent."""
    source: Literal["tftp"] = "tftp"


Observe = Callable[[TftpEvent], None]


@dataclass(frozen=True)
class Ended:
    """How a session ended; a probe leaves no event."""

    event: TftpEvent | None


@dataclass(eq=False)
class Session:
    """Owns a connected socket and a share of an open file; `close` gives both back."""

    socket: socket.socket
    source: Source
    terms: Terms
    sender: WindowSender
    request: bytes
    """The datagram that asked for this transfer."""
    name: str
    started: float
    timer_at: float = math.inf
    """When the server's timer for this session goes off."""
    _offload: bool = True

    def __post_init__(self) -> None:
        self.transfer = Transfer(self.source.size, self.terms, self.started)
        self.fd = self.socket.fileno()
        self.peer: tuple[str, int] = self.socket.getpeername()

    def begin(self, now: float) -> Ended | None:
        """Send the first answer."""
        return self._guarded(self.transfer.start(now), now)

    def repeats(self, request: bytes, now: float) -> bool:
        """The request that opened this session came again: a copy that waited in a queue.

        From a client that acknowledged blocks and then fell silent it is a new start instead.
        """
        started_anew = self.transfer.acknowledged > 0 and self.transfer.idle_s(now) > _RESTART_S
        return request == self.request and not started_anew

    def receive(self, now: float) -> Ended | None:
        """Take what the client sent."""
        for _ in range(_BURST):
            try:
                data = self.socket.recv(_MAX_ACK)
            except BlockingIOError:
                return None
            except OSError as error:
                return self._lost(error, now)
            ended = self._react(data, now)
            if ended is not None:
                return ended
        return None

    def expire(self, now: float) -> Ended | None:
        """The deadline has passed."""
        return self._guarded(self.transfer.expired(now), now)

    def close(self, files: Files) -> None:
        self.socket.close()
        files.release(self.source)

    def _react(self, data: bytes, now: float) -> Ended | None:
        try:
            packet = parse(data)
        except PacketError:
            return None
        match packet:
            case Ack(block):
                return self._guarded(self.transfer.ack(block, now), now)
            case Error(code, message):
                return self._aborted(f"the client ended it: error {code} {message}".rstrip())
            case _:
                return None

    def _guarded(self, step: Step, now: float) -> Ended | None:
        try:
            return self._do(step, now)
        except Truncated:
            self._say(ErrorCode.UNDEFINED, "the file became shorter")
            return self._failed("the file became shorter while it was sent")
        except OSError as error:
            return self._lost(error, now)

    def _do(self, step: Step, now: float) -> Ended | None:
        match step:
            case Window():
                size = self.terms.block_size
                self._offload = self.sender.send(
                    self.socket, self.source, size, step, self._offload
                )
                return None
            case OfferTerms():
                self.socket.send(encode(OptionAck(self.terms.accepted)))
                return None
            case GiveUp():
                return self._gave_up(now)
            case Done():
                return self._finished(now)
            case None:
                return None

    def _gave_up(self, now: float) -> Ended:
        if self.transfer.awaits_last:
            return self._finished(now)
        self._say(ErrorCode.UNDEFINED, "no acknowledgement")
        if self.transfer.acknowledged < 0:
            why = "the client never acknowledged the first answer: it only asked for the size, or "
            return self._failed(why + "a firewall drops packets to ports other than 69")
        return self._failed("the client stopped acknowledging")

    def _lost(self, error: OSError, now: float) -> Ended | None:
        """A socket error. A closed port after the last block means the client has it all."""
        if error.errno in (errno.EAGAIN, errno.ENOBUFS):
            return None
        if error.errno != errno.ECONNREFUSED:
            return self._aborted(f"sending failed: {error.strerror}")
        if self.transfer.awaits_last:
            return self._finished(now)
        return self._aborted("the client closed its port")

    def _aborted(self, why: str) -> Ended:
        return Ended(None) if self.transfer.acknowledged <= 0 else self._failed(why)

    def _finished(self, now: float) -> Ended:
        seconds = round(now - self.started, 3)
        return Ended(self._event("done", bytes=self.transfer.size, seconds=seconds))

    def _failed(self, why: str) -> Ended:
        return Ended(self._event("failed", why=why, bytes=self.transfer.acknowledged_bytes))

    def _event(self, name: EventName, **detail: str | int | float) -> TftpEvent:
        return TftpEvent(name, self.peer[0], self.name, detail)

    def _say(self, code: ErrorCode, message: str) -> None:
        try:
            self.socket.send(encode(Error(code, message)))
        except OSError:
            return


def connect(local: str, peer: tuple[str, int]) -> tuple[socket.socket, int]:
    """A connected, non-blocking socket from `local` to `peer`, and the path MTU. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind((local, 0))
        sock.connect(peer)
        return sock, sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        sock.close()
        raise
