"""The sockets of DNS: UDP and TCP on one address, one thread. All answers are `zone.answer`'s.

TCP connections are few, short and timed out; a message larger than a query needs is refused.
Needs CAP_NET_BIND_SERVICE for port 53.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from agent.api.errors import Kind, TridentError
from bootserver.dns.zone import MAX_QUERY_SIZE, Zone, answer

_LOG = logging.getLogger(__name__)
_STOP_CHECK_S = 0.1
_BURST = 64
_MAX_CONNECTIONS = 32
_FREE_PORT_TRIALS = 20


@dataclass(eq=False)
class _Connection:
    """A TCP client: what it has sent so far."""

    socket: socket.socket
    until: float
    received: bytes = b""


@dataclass
class DnsServer:
    """Serves `zone()` (asked for every query) on `address`:`port` (0: any; see `port`)."""

    address: IPv4Address
    port: int
    zone: Callable[[], Zone]
    connection_s: float = 5.0
    """Lifetime of a TCP connection, however busy."""
    queries: int = 0
    _connections: set[_Connection] = field(default_factory=set)

    def __post_init__(self) -> None:
        with ExitStack() as stack:
            self._udp, self._tcp = self._bound(stack)
            self.port = self._udp.getsockname()[1]
            self._tcp.listen(socket.SOMAXCONN)
            self._udp.setblocking(False)
            self._tcp.setblocking(False)
            self._open = stack.pop_all()

    def _bound(self, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
        """Both sockets on one port. A free port for TCP may be taken for UDP: then on another."""
        for left in reversed(range(_FREE_PORT_TRIALS)):
            with ExitStack() as trial:
                udp = trial.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                tcp = trial.enter_context(socket.socket())
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    tcp.bind((str(self.address), self.port))
                    udp.bind((str(self.address), tcp.getsockname()[1]))
                except OSError as error:
                    if self.port == 0 and error.errno == errno.EADDRINUSE and left:
                        continue
                    raise _unavailable(self.address, self.port, error) from error
                stack.enter_context(trial.pop_all())
                return udp, tcp
        raise AssertionError("the last trial returns or raises")

    def close(self) -> None:
        """Close all sockets; `run` does so at its end."""
        for connection in self._connections:
            connection.socket.close()
        self._connections.clear()
        self._open.close()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set (noticed within a tenth of a second)."""
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._udp, selectors.EVENT_READ, self._datagrams)
            self._selector.register(self._tcp, selectors.EVENT_READ, self._accept)
            try:
                while not stop.is_set():
                    for key, _ in self._selector.select(_STOP_CHECK_S):
                        self._survive(key.data)
                    self._drop_old()
            finally:
                self.close()

    def _survive(self, act: Callable[[], None]) -> None:
        """The door of this thread: no client and no callback may end it."""
        try:
            act()
        except Exception:  # noqa: BLE001
            _LOG.exception("serving DNS failed")

    def _answer(self, query: bytes) -> bytes | None:
        self.queries += 1
        return answer(query, self.zone())

    def _datagrams(self) -> None:
        for _ in range(_BURST):
            try:
                query, client = self._udp.recvfrom(4096)
                reply = self._answer(query)
                if reply is not None:
                    self._udp.sendto(reply, client)
            except BlockingIOError:
                return
            except OSError as error:
                _LOG.debug("DNS over UDP: %s", error)

    def _accept(self) -> None:
        for _ in range(_BURST):
            try:
                sock, _ = self._tcp.accept()
            except BlockingIOError:
                return
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            sock.close()
            return
        sock.setblocking(False)
        connection = _Connection(sock, time.monotonic() + self.connection_s)
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._stream(connection))

    def _stream(self, connection: _Connection) -> None:
        """Read from a connection and answer its complete messages; close it on any oddity."""
        try:
            received = connection.socket.recv(4096)
            connection.received += received
            if not received or not self._answer_all(connection):
                self._drop(connection)
        except OSError as error:
            _LOG.debug("DNS over TCP: %s", error)
            self._drop(connection)

    def _answer_all(self, connection: _Connection) -> bool:
        """Answer what is complete (RFC 1035 4.2.2: a length before each message)."""
        while len(connection.received) >= 2:
            size = int.from_bytes(connection.received[:2], "big")
            if size > MAX_QUERY_SIZE:
                return False
            if len(connection.received) < 2 + size:
                return True
            query = connection.received[2 : 2 + size]
            connection.received = connection.received[2 + size :]
            reply = self._answer(query)
            if reply is None:
                return False
            framed = len(reply).to_bytes(2, "big") + reply
            if connection.socket.send(framed) != len(framed):
                return False
        return True

    def _drop_old(self) -> None:
        now = time.monotonic()
        for connection in [one for one in self._connections if one.until < now]:
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()


def _unavailable(address: IPv4Address, port: int, error: OSError) -> TridentError:
    return TridentError(
        Kind.EXECUTION_ENVIRONMENT,
        "dns-port-unavailable",
        f"port {port} on {address} can't be served for DNS: {error.strerror or error}",
        hint=f"stop the other DNS server on this host (ss -lnp 'sport = :{port}'), check that "
        f"{address} is configured, and run with CAP_NET_BIND_SERVICE",
        fields={"address": str(address), "port": str(port)},
    )
