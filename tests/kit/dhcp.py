"""DHCP for tests: captured requests of real clients, crafted ones, a store and a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bootserver.boot.machine import Answer, Ignore, Machine
from bootserver.dhcp.exchange import Arrival, DhcpEvent
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import Packet, parse
from bootserver.leases import Allocator, Lease, Pool, Subnet

DATA = Path(__file__).resolve().parents[1] / "data" / "dhcp"
SERVER = IPv4Address("10.77.0.1")
NETWORK = IPv4Network("10.77.0.0/24")
POOL = Pool(IPv4Address("10.77.0.100"), IPv4Address("10.77.0.103"))
SUBNET = Subnet(
    NETWORK,
    (POOL,),
    router=IPv4Address("10.77.0.254"),
    dns_servers=(SERVER, IPv4Address("10.77.0.2")),
    domain="rack.lan",
)
MAC = "52:54:00:12:34:56"


def captured(name: str) -> Packet:
    """A request of a real client, as it stood on the wire (tests/data/dhcp)."""
    return parse((DATA / f"{name}.bin").read_bytes())


def message(
    kind: MessageType,
    mac: str = MAC,
    options: Mapping[Code, bytes] | Mapping[int, bytes] | None = None,
    **fields: object,
) -> Packet:
    """A plain client's request."""
    found = {int(Code.MESSAGE_TYPE): bytes((kind,))}
    found |= {int(code): data for code, data in (options or {}).items()}
    chaddr = bytes.fromhex(mac.replace(":", ""))
    return Packet(op=1, xid=0x1234, chaddr=chaddr, options=found, **fields)  # type: ignore[arg-type]


def arrival(
    port: int = 67,
    source: str = "0.0.0.0",
    source_port: int = 68,
    time: float = 1000.0,
    interface: IPv4Address = SERVER,
) -> Arrival:
    return Arrival(interface, port, IPv4Address(source), source_port, time)


@dataclass
class MemoryStore:
    """A LeaseStore in memory that keeps what was written, by address."""

    leases: dict[IPv4Address, Lease] = field(default_factory=dict)

    def load(self) -> Iterable[Lease]:
        return list(self.leases.values())

    def save(self, lease: Lease) -> None:
        same = [key for key, one in self.leases.items() if one.mac == lease.mac]
        for address in same:
            del self.leases[address]
        self.leases[lease.address] = lease

    def remove(self, address: IPv4Address) -> None:
        self.leases.pop(address, None)


@dataclass
class FixedPolicy:
    """Answers by a function and keeps the events."""

    allocator: Allocator | None
    decide: Callable[[Machine], Answer] = lambda _: Ignore("not declared")
    events: list[DhcpEvent] = field(default_factory=list)

    def answer(self, machine: Machine) -> Answer:
        return self.decide(machine)

    def observe(self, event: DhcpEvent) -> None:
        self.events.append(event)


def server_policy(answer: Answer, *subnets: Subnet) -> FixedPolicy:
    """Server mode over `subnets` (default: SUBNET), one answer for everybody."""
    allocator = Allocator(subnets or (SUBNET,), MemoryStore(), taken=frozenset({SERVER}))
    return FixedPolicy(allocator, lambda _: answer)


def proxy_policy(answer: Answer) -> FixedPolicy:
    """Proxy mode, one answer for everybody."""
    return FixedPolicy(None, lambda _: answer)
