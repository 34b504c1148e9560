"""The sockets of DHCP: one thread that serves one interface on ports 67 and 4011.

Bound to the interface (SO_BINDTODEVICE), answers from its address (IP_PKTINFO). Whatever arrives is
counted and survived; all decisions are `reply.reply`'s. Needs CAP_NET_BIND_SERVICE and CAP_NET_RAW.
"""

from __future__ import annotations

import logging
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from agent.api.errors import Kind, TridentError
from bootserver.dhcp import frame
from bootserver.dhcp.exchange import (
    PROXY_PORT,
    SERVER_PORT,
    Arrival,
    Delivery,
    Outgoing,
    Policy,
    Silence,
)
from bootserver.dhcp.packet import MAX_SIZE, PacketError, parse
from bootserver.dhcp.reply import reply

_LOG = logging.getLogger(__name__)
_IP_PKTINFO = 8
"""Linux: <linux/in.h>."""
_STOP_CHECK_S = 0.1
_BURST = 64
"""Datagrams taken from one socket before the other is looked at."""
_RECEIVE_BUFFER = 4 << 20
"""Bytes: a rack that powers on at once must not overflow the queue."""


@dataclass
class Counters:
    """What became of the datagrams since the start."""

    malformed: int = 0
    replied: int = 0
    silent: int = 0
    failed: int = 0
    """The decision raised, or the reply could not be sent."""


@dataclass
class DhcpServer:
    """Serves `interface`, whose address (server identifier, next server) is `address`."""

    interface: str
    address: IPv4Address
    policy: Policy
    ports: tuple[int, ...] = (SERVER_PORT, PROXY_PORT)
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        with ExitStack() as stack:
            self._sockets = {
                port: stack.enter_context(_server_socket(self.interface, port))
                for port in self.ports
            }
            self._raw = stack.enter_context(_frame_socket(self.interface))
            self._open = stack.pop_all()

    def close(self) -> None:
        """Close the sockets; `run` does so at its end."""
        self._open.close()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set (noticed within a tenth of a second)."""
        with self._open, selectors.DefaultSelector() as selector:
            for port, one in self._sockets.items():
                selector.register(one, selectors.EVENT_READ, port)
            while not stop.is_set():
                for key, _ in selector.select(_STOP_CHECK_S):
                    self._drain(self._sockets[key.data], key.data)

    def _drain(self, one: socket.socket, port: int) -> None:
        for _ in range(_BURST):
            try:
                data, (host, source_port) = one.recvfrom(MAX_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                _LOG.warning("receiving on %s port %d: %s", self.interface, port, error)
                return
            source = IPv4Address(host)
            self._serve(data, Arrival(self.address, port, source, source_port, time.time()))

    def _serve(self, data: bytes, arrival: Arrival) -> None:
        """Answer one datagram. The door of this thread: no request may end it."""
        try:
            outcome = reply(parse(data), arrival, self.policy)
            if isinstance(outcome, Outgoing):
                self._send(outcome, arrival.local_port)
                self.counters.replied += 1
            else:
                self.counters.silent += 1
            self._report(outcome)
        except PacketError as error:
            self.counters.malformed += 1
            _LOG.debug("malformed DHCP message from %s: %s", arrival.source, error)
        except OSError as error:
            self.counters.failed += 1
            _LOG.warning("answering %s on %s: %s", arrival.source, self.interface, error)
        except Exception:  # noqa: BLE001
            self.counters.failed += 1
            _LOG.exception("answering %s on %s failed", arrival.source, self.interface)

    def _send(self, outgoing: Outgoing, local_port: int) -> None:
        route = outgoing.route
        if route.delivery is Delivery.HARDWARE:
            packet = frame.datagram(
                (self.address, local_port), (route.address, route.port), outgoing.payload
            )
            link = (self.interface, frame.ETHERTYPE_IPV4, 0, 1, outgoing.hardware)
            self._raw.sendto(packet, link)
            return
        # struct in_pktinfo: the interface is bound already, the source address is ours.
        info = struct.pack("=I4s4s", 0, self.address.packed, bytes(4))
        control = [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
        to = (str(route.address), route.port)
        self._sockets[local_port].sendmsg([outgoing.payload], control, 0, to)

    def _report(self, outcome: Outgoing | Silence) -> None:
        for event in outcome.events:
            self.policy.observe(event)
            _LOG.info("mac=%s xid=%08x %s %s", event.mac, event.xid, event.event, event.detail)


@contextmanager
def _server_socket(interface: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            one.bind(("", port))
        except OSError as error:
            raise _unavailable(interface, port, error) from error
        yield one


@contextmanager
def _frame_socket(interface: str) -> Iterator[socket.socket]:
    """For sending only: protocol 0 receives nothing."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as one:
        try:
            one.bind((interface, 0))
        except OSError as error:
            raise _unavailable(interface, SERVER_PORT, error) from error
        yield one


def _unavailable(interface: str, port: int, error: OSError) -> TridentError:
    return TridentError(
        Kind.EXECUTION_ENVIRONMENT,
        "dhcp-port-unavailable",
        f"UDP port {port} on interface {interface} can't be served: {error.strerror or error}",
        hint=f"stop the other DHCP server on this host (ss -lunp 'sport = :{port}'), check that "
        f"the interface {interface} exists, and run with CAP_NET_BIND_SERVICE and CAP_NET_RAW",
        fields={"interface": interface, "port": str(port)},
    )
