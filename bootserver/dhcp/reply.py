"""One request in, one reply or silence out: the whole of DHCP's behaviour, without sockets.

Server mode (`addressing`) leases addresses and adds boot information; proxy mode (`proxy`) adds
boot information beside a foreign server; port 4011 is answered in both modes.
"""

from __future__ import annotations

from bootserver.dhcp import addressing, options, proxy, request
from bootserver.dhcp.exchange import PROXY_PORT, Arrival, Exchange, Outgoing, Policy, Silence
from bootserver.dhcp.packet import REQUEST_OP, Packet


def reply(packet: Packet, arrival: Arrival, policy: Policy) -> Outgoing | Silence:
    """Answer one message. Asks `policy`; changes nothing but the leases of its allocator."""
    if packet.op != REQUEST_OP:
        return Silence("it is a reply")
    if request.hardware_address(packet) is None:
        return Silence("it comes from no Ethernet address")
    kind = options.message_type(packet)
    if kind is None:
        return Silence("it has no known message type")
    exchange = Exchange(packet, kind, request.machine(packet), arrival, policy)
    if arrival.local_port == PROXY_PORT:
        return proxy.boot_server_reply(exchange)
    if policy.allocator is None:
        return proxy.offer(exchange)
    return addressing.reply(exchange, policy.allocator)
