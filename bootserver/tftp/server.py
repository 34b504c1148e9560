"""The TFTP server: one thread, one epoll, one connected socket per transfer. Read-only.

Connected sockets let the kernel drop strangers' packets and report clients that went away. Requests
beyond the limits are left unanswered: the client asks again, whereas an ERROR would end its boot.
Needs CAP_NET_BIND_SERVICE for port 69.
"""

from __future__ import annotations

import heapq
import logging
import math
import resource
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

from agent.api.errors import Kind, TridentError
from bootserver.tftp.content import Content, Files, Memory, normalize
from bootserver.tftp.packet import (
    Error,
    ErrorCode,
    PacketError,
    Request,
    encode,
    parse,
)
from bootserver.tftp.sending import WindowSender
from bootserver.tftp.session import Ended, Observe, Session, TftpEvent, connect
from bootserver.tftp.transfer import negotiate

_LOG = logging.getLogger(__name__)
_STOP_CHECK_S = 0.1
_BURST = 64
_RECEIVE_BUFFER = 4 << 20
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("=i4s4s")
_SPARE_DESCRIPTORS = 128
_BINARY_MODES = ("octet", "netascii")
"""Text mode is served as octets: boot files are never converted."""

Resolve = Callable[[str, str], Content | None]
"""`resolve(filename, client_address)`: the content, or None when there is no such file. The name is
a relative path without `..`. Runs in the server's thread and must not block."""


@dataclass(frozen=True)
class Limits:
    """Bounds of what clients can make the server do."""

    total: int = 2048
    """Transfers at a time; lowered to what the process' file descriptors allow."""
    per_client: int = 16
    """Transfers at a time of one address."""
    max_block_size: int = 65464
    """Blocks are never larger than the path MTU allows either."""
    max_window_size: int = 64


@dataclass
class Statistics:
    """Counted since the start."""

    requests: int = 0
    malformed: int = 0
    over_limit: int = 0
    refused: int = 0
    """Answered with an ERROR: no such file, write, unsafe name."""


@dataclass
class TftpServer:
    """Serves `resolve`'s content on `address`:`port` (port 0: any; see `port` afterwards)."""

    address: IPv4Address
    port: int
    resolve: Resolve
    observe: Observe
    limits: Limits = Limits()
    statistics: Statistics = field(default_factory=Statistics)

    def __post_init__(self) -> None:
        self._capacity = min(self.limits.total, _descriptor_limit() - _SPARE_DESCRIPTORS)
        self._socket = _listen(self.address, self.port)
        self.port = self._socket.getsockname()[1]
        self._epoll = select.epoll()
        self._files = Files()
        self._sender = WindowSender()
        self._sessions: dict[int, Session] = {}
        self._by_peer: dict[tuple[str, int], Session] = {}
        self._per_client: Counter[str] = Counter()
        self._timers: list[tuple[float, int, Session]] = []
        self._order = count()

    @property
    def active(self) -> int:
        """Transfers in progress."""
        return len(self._sessions)

    def close(self) -> None:
        """Close all sockets; `run` does so at its end."""
        for session in list(self._sessions.values()):
            self._end(session)
        self._epoll.close()
        self._socket.close()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set (noticed within a tenth of a second)."""
        listening = self._socket.fileno()
        self._epoll.register(listening, select.EPOLLIN)
        try:
            while not stop.is_set():
                for fd, _ in self._epoll.poll(self._wait_s()):
                    self._survive(self._accept if fd == listening else partial(self._receive, fd))
                self._survive(self._expire)
        finally:
            self.close()

    def _survive(self, act: Callable[[], None]) -> None:
        """The door of this thread: no client and no callback may end it."""
        try:
            act()
        except Exception:  # noqa: BLE001
            _LOG.exception("serving TFTP failed")

    def _wait_s(self) -> float:
        if not self._timers:
            return _STOP_CHECK_S
        return min(max(self._timers[0][0] - time.monotonic(), 0.0), _STOP_CHECK_S)

    def _accept(self) -> None:
        for _ in range(_BURST):
            try:
                data, control, _, peer = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            local = _local_address(control)
            if local is not None:
                self._request(data, local, peer)

    def _receive(self, fd: int) -> None:
        session = self._sessions.get(fd)
        if session is not None:
            self._settle(session, session.receive(time.monotonic()))

    def _request(self, data: bytes, local: str, peer: tuple[str, int]) -> None:
        """Answer one datagram of the listening port."""
        self.statistics.requests += 1
        try:
            request = parse(data)
            if isinstance(request, Request):
                self._open(request, data, local, peer)
            else:
                self.statistics.malformed += 1
        except PacketError as error:
            self.statistics.malformed += 1
            _LOG.debug("malformed TFTP request from %s: %s", peer[0], error)

    def _open(self, request: Request, data: bytes, local: str, peer: tuple[str, int]) -> None:
        existing = self._by_peer.get(peer)
        if existing is not None:
            if existing.repeats(data, time.monotonic()):
                return
            self._end(existing)
        name = normalize(request.filename)
        if name is None or request.write or request.mode not in _BINARY_MODES:
            self._refuse(peer, *_refusal(request))
        elif self._is_full(peer[0]):
            self.statistics.over_limit += 1
        elif (content := self.resolve(name, peer[0])) is None:
            self._refuse(peer, ErrorCode.NOT_FOUND, "no such file", name)
        else:
            self._begin(request, data, name, content, local, peer)

    def _is_full(self, client: str) -> bool:
        crowded = self._per_client[client] >= self.limits.per_client
        return crowded or len(self._sessions) >= self._capacity

    def _begin(
        self,
        request: Request,
        data: bytes,
        name: str,
        content: Content,
        local: str,
        peer: tuple[str, int],
    ) -> None:
        try:
            source = self._files.acquire(content) if isinstance(content, Path) else Memory(content)
        except OSError as error:
            self._refuse(peer, ErrorCode.NOT_FOUND, error.strerror or "unreadable", name)
            return
        try:
            sock, path_mtu = connect(local, peer)
        except OSError:
            self._files.release(source)
            raise
        limits = self.limits
        terms = negotiate(
            request.options, source.size, path_mtu, limits.max_block_size, limits.max_window_size
        )
        now = time.monotonic()
        session = Session(sock, source, terms, self._sender, data, name, now)
        self._sessions[session.fd] = session
        self._by_peer[peer] = session
        self._per_client[peer[0]] += 1
        self._epoll.register(session.fd, select.EPOLLIN)
        self.observe(TftpEvent("read", peer[0], name, {"bytes": source.size}))
        self._settle(session, session.begin(now))

    def _settle(self, session: Session, ended: Ended | None) -> None:
        """End the session, or see to it that its deadline is noticed."""
        if ended is not None:
            self._end(session)
            if ended.event is not None:
                self.observe(ended.event)
        elif session.transfer.deadline < session.timer_at:
            self._arm(session)

    def _arm(self, session: Session) -> None:
        session.timer_at = session.transfer.deadline
        heapq.heappush(self._timers, (session.timer_at, next(self._order), session))

    def _expire(self) -> None:
        """Handle all due timers. A deadline that moved on since is armed anew (lazily)."""
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            due, _, session = heapq.heappop(self._timers)
            if due != session.timer_at or self._sessions.get(session.fd) is not session:
                continue
            if session.transfer.deadline > now:
                self._arm(session)
            else:
                session.timer_at = math.inf
                self._settle(session, session.expire(now))

    def _end(self, session: Session) -> None:
        del self._sessions[session.fd]
        del self._by_peer[session.peer]
        self._per_client[session.peer[0]] -= 1
        if not self._per_client[session.peer[0]]:
            del self._per_client[session.peer[0]]
        self._epoll.unregister(session.fd)
        session.close(self._files)

    def _refuse(
        self, peer: tuple[str, int], code: ErrorCode, why: str, name: str | None = None
    ) -> None:
        """Answer with an ERROR; for a file that would be served (`name`), tell the timeline."""
        self.statistics.refused += 1
        self._socket.sendto(encode(Error(code, why)), peer)
        if name is not None:
            self.observe(TftpEvent("failed", peer[0], name, {"why": why}))


def _refusal(request: Request) -> tuple[ErrorCode, str]:
    if request.write:
        return ErrorCode.ACCESS, "this server is read-only"
    if request.mode not in _BINARY_MODES:
        return ErrorCode.ILLEGAL, "use mode octet"
    return ErrorCode.ACCESS, "this file name is not served"


def _listen(address: IPv4Address, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "tftp-port-unavailable",
            f"UDP port {port} on {address} can't be served: {error.strerror or error}",
            hint=f"stop the other TFTP server on this host (ss -lunp 'sport = :{port}'), check "
            f"that {address} is configured, and run with CAP_NET_BIND_SERVICE",
            fields={"address": str(address), "port": str(port)},
        ) from error
    return sock


def _local_address(control: list[tuple[int, int, bytes]]) -> str | None:
    """The address a request was sent to; None for a broadcast (RFC 1123: not answered)."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, destination = _PKTINFO.unpack_from(data)
            return socket.inet_ntoa(local) if local == destination else None
    return None


def _descriptor_limit() -> int:
    """Raise the soft limit to the hard one; the number of descriptors the process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
