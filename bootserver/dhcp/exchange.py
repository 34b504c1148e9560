"""The values around one DHCP exchange: where a request arrived, what goes back, who decides.

Pure: `Outgoing` says how a reply has to travel (RFC 2131 section 4.1); the server sends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import Literal, Protocol

from bootserver.boot.machine import Answer, Machine
from bootserver.dhcp.options import MessageType
from bootserver.dhcp.packet import ANY, Packet
from bootserver.leases import Allocator

SERVER_PORT = 67
CLIENT_PORT = 68
PROXY_PORT = 4011
BROADCAST = IPv4Address("255.255.255.255")

EventName = Literal["discover", "offer", "request", "ack", "ignored", "proxy-offer"]


@dataclass(frozen=True)
class DhcpEvent:
    """One line of a machine's timeline. `detail` holds JSON-able values."""

    event: EventName
    mac: str
    xid: int
    detail: Mapping[str, str | int | None] = field(default_factory=dict)
    source: Literal["dhcp"] = "dhcp"


@dataclass(frozen=True)
class Arrival:
    """Where and when a request came in. `time` is in seconds since the epoch."""

    interface_address: IPv4Address
    """Our address on that interface: server identifier, next server, and the link of the client
    unless a relay names another."""
    local_port: int
    source: IPv4Address
    source_port: int
    time: float


class Delivery(Enum):
    """How a reply reaches its client."""

    UNICAST = "unicast"
    """The client has the destination address: send as usual."""
    BROADCAST = "broadcast"
    RELAY = "relay"
    """To the relay agent, port 67."""
    HARDWARE = "hardware"
    """The client doesn't answer ARP for the destination address yet: address the frame by hand."""


@dataclass(frozen=True)
class Route:
    """Where a reply goes, and how."""

    address: IPv4Address
    port: int
    delivery: Delivery


BROADCAST_ROUTE = Route(BROADCAST, CLIENT_PORT, Delivery.BROADCAST)


@dataclass(frozen=True)
class Outgoing:
    """A reply: encoded message, destination, and what it adds to the timeline."""

    payload: bytes
    route: Route
    hardware: bytes
    """The client's MAC address, for Delivery.HARDWARE."""
    events: tuple[DhcpEvent, ...] = ()


@dataclass(frozen=True)
class Silence:
    """No reply, and why."""

    why: str
    events: tuple[DhcpEvent, ...] = ()


class Policy(Protocol):
    """What the boot server decides for DHCP. Called from the DHCP thread only."""

    @property
    def allocator(self) -> Allocator | None:
        """Gives addresses; None beside a foreign DHCP server (proxyDHCP)."""
        ...

    def answer(self, machine: Machine) -> Answer:
        """What a network-booting machine is told. Asked once for every message of the exchange."""
        ...

    def observe(self, event: DhcpEvent) -> None:
        """Record an event. Called after the reply was sent."""
        ...


@dataclass(frozen=True)
class Exchange:
    """One request with all that is known when it is answered."""

    packet: Packet
    kind: MessageType
    machine: Machine
    arrival: Arrival
    policy: Policy

    def event(self, name: EventName, **detail: str | int | None) -> DhcpEvent:
        """An event of this machine and transaction."""
        return DhcpEvent(name, self.machine.mac, self.packet.xid, detail)

    def seen(self, name: EventName, **detail: str | int | None) -> DhcpEvent:
        """The event of the request itself: who asks, in its own words."""
        machine = self.machine
        return self.event(
            name,
            architecture=machine.architecture.value,
            architectureCode=machine.architecture_code,
            vendorClass=machine.vendor_class,
            ipxe=machine.is_ipxe,
            uuid=machine.uuid,
            relay=str(machine.relay) if machine.relay else None,
            **detail,
        )


def route(packet: Packet, yiaddr: IPv4Address) -> Route:
    """How an OFFER or ACK for `packet` travels."""
    if packet.giaddr != ANY:
        return Route(packet.giaddr, SERVER_PORT, Delivery.RELAY)
    if packet.ciaddr != ANY:
        return Route(packet.ciaddr, CLIENT_PORT, Delivery.UNICAST)
    if packet.wants_broadcast or yiaddr == ANY:
        return BROADCAST_ROUTE
    return Route(yiaddr, CLIENT_PORT, Delivery.HARDWARE)


def refusal_route(packet: Packet) -> Route:
    """How a NAK travels: to the relay, else broadcast, for the client's address is wrong."""
    if packet.giaddr != ANY:
        return Route(packet.giaddr, SERVER_PORT, Delivery.RELAY)
    return BROADCAST_ROUTE
