"""Builds reply messages: what every reply copies from its request, in the order clients like. Pure.

RFC 2131 table 3; RFC 3046 (option 82 comes back, last), RFC 6842 (option 61 comes back).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from bootserver.dhcp import options
from bootserver.dhcp.bootinfo import BootInfo
from bootserver.dhcp.exchange import DhcpEvent, Exchange, Outgoing, Route, Silence
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import ANY, BROADCAST_FLAG, REPLY_OP, Packet, PacketError, encode

NO_OPTIONS: Mapping[int, bytes] = {}


def build(
    exchange: Exchange,
    kind: MessageType,
    route: Route,
    *,
    yiaddr: IPv4Address = ANY,
    network: Mapping[int, bytes] = NO_OPTIONS,
    boot: BootInfo | None = None,
    events: tuple[DhcpEvent, ...] = (),
) -> Outgoing | Silence:
    """A reply to the exchange's request; Silence when it doesn't fit the client's message size."""
    request = exchange.packet
    nak = kind is MessageType.NAK
    found: dict[int, bytes] = {
        Code.MESSAGE_TYPE: bytes((kind,)),
        Code.SERVER_IDENTIFIER: exchange.arrival.interface_address.packed,
        **network,
        **(boot.options if boot else NO_OPTIONS),
    }
    for code in (Code.CLIENT_IDENTIFIER, Code.RELAY_AGENT):
        if code in request.options:
            found[code] = request.options[code]
    packet = Packet(
        op=REPLY_OP,
        xid=request.xid,
        chaddr=request.chaddr,
        options=found,
        htype=request.htype,
        # A relayed NAK must be broadcast by the relay: the client's address is wrong.
        flags=request.flags | (BROADCAST_FLAG if nak and request.giaddr != ANY else 0),
        ciaddr=ANY if nak or kind is MessageType.OFFER else request.ciaddr,
        yiaddr=yiaddr,
        siaddr=boot.siaddr if boot else ANY,
        giaddr=request.giaddr,
        file=boot.file if boot else b"",
    )
    try:
        payload = encode(packet, options.max_message_size(request))
    except PacketError as error:
        why = f"the reply can't be sent: {error}"
        return Silence(why, (*events[:1], exchange.event("ignored", why=why)))
    return Outgoing(payload, route, request.chaddr, events)
