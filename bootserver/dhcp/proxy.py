"""proxyDHCP: boot information beside a foreign DHCP server, and the boot server on port 4011. Pure.

PXE 2.1 section 2.2: an OFFER without an address to a PXE client's DISCOVER; an ACK without a lease
to its REQUEST or INFORM on port 4011. Whoever doesn't boot from the network is never answered.
"""

from __future__ import annotations

from bootserver.boot.machine import Ignore, LocalDisk
from bootserver.dhcp.bootinfo import boot_info
from bootserver.dhcp.exchange import (
    BROADCAST_ROUTE,
    Delivery,
    DhcpEvent,
    EventName,
    Exchange,
    Outgoing,
    Route,
    Silence,
    route,
)
from bootserver.dhcp.message import build
from bootserver.dhcp.options import MessageType
from bootserver.dhcp.packet import ANY

_NOT_BOOTING = Silence("the client does not boot from the network")


def offer(exchange: Exchange) -> Outgoing | Silence:
    """The offer on port 67 that carries boot information only."""
    if exchange.kind is not MessageType.DISCOVER:
        return Silence("addresses are another server's business")
    if not exchange.machine.is_pxe:
        return _NOT_BOOTING
    seen = exchange.seen("discover")
    return _answer(exchange, MessageType.OFFER, "proxy-offer", route(exchange.packet, ANY), seen)


def boot_server_reply(exchange: Exchange) -> Outgoing | Silence:
    """The answer on port 4011, to the address and port the question came from."""
    if exchange.kind not in (MessageType.REQUEST, MessageType.INFORM):
        return Silence("the boot server port takes REQUEST and INFORM only")
    if not exchange.machine.is_pxe:
        return _NOT_BOOTING
    arrival = exchange.arrival
    back = Route(arrival.source, arrival.source_port, Delivery.UNICAST)
    if arrival.source == ANY:
        back = BROADCAST_ROUTE
    seen = exchange.seen("request", port=arrival.local_port)
    return _answer(exchange, MessageType.ACK, "ack", back, seen)


def _answer(
    exchange: Exchange, kind: MessageType, name: EventName, back: Route, seen: DhcpEvent
) -> Outgoing | Silence:
    machine = exchange.machine
    answer = exchange.policy.answer(machine)
    if isinstance(answer, LocalDisk):
        # Another boot server may have something for it: here we are not the only one to speak.
        answer = Ignore(answer.why)
    info = boot_info(exchange.packet, machine, answer, exchange.arrival.interface_address)
    if isinstance(info, Ignore):
        return Silence(info.why, (seen, exchange.event("ignored", why=info.why)))
    done = exchange.event(name, boot=info.summary)
    return build(exchange, kind, back, boot=info, events=(seen, done))
