"""Server mode: DISCOVER, REQUEST in its four situations, DECLINE, RELEASE and INFORM.

RFC 2131 section 4.3. Pure but for the allocator. A machine that is to be ignored for booting still
gets its plain lease: an installed system needs its address. A NAK is sent only in a subnet we are
authoritative for.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from bootserver.boot.machine import Ignore, LocalDisk
from bootserver.dhcp import options
from bootserver.dhcp.bootinfo import BootInfo, boot_info, without_proxy_wait
from bootserver.dhcp.exchange import (
    DhcpEvent,
    Exchange,
    Outgoing,
    Silence,
    refusal_route,
    route,
)
from bootserver.dhcp.message import build
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import ANY, PacketError, suboptions
from bootserver.leases import Allocator, Lease, Subnet

_LINK_SELECTION = 5
"""Sub-option of option 82 (RFC 3527): the client's link where giaddr is not on it."""


def reply(exchange: Exchange, allocator: Allocator) -> Outgoing | Silence:
    """Answer one message of a client on port 67."""
    match exchange.kind:
        case MessageType.DISCOVER:
            return _discover(exchange, allocator)
        case MessageType.REQUEST:
            return _request(exchange, allocator)
        case MessageType.INFORM:
            return _inform(exchange, allocator)
        case MessageType.RELEASE:
            return _release(exchange, allocator)
        case MessageType.DECLINE:
            return _decline(exchange, allocator)
        case MessageType.OFFER | MessageType.ACK | MessageType.NAK:
            return Silence("it is a server's message")


def _discover(exchange: Exchange, allocator: Allocator) -> Outgoing | Silence:
    link, seen = _link(exchange, allocator), exchange.seen("discover")
    subnet = allocator.subnet(link)
    requested = options.address(exchange.packet, Code.REQUESTED_ADDRESS)
    lease = allocator.offer(exchange.machine.mac, requested, link, exchange.arrival.time)
    if subnet is None or lease is None:
        why = f"no address is free on {subnet.network}" if subnet else f"no subnet holds {link}"
        return Silence(why, (seen, exchange.event("ignored", why=why)))
    return _grant(exchange, MessageType.OFFER, subnet, lease, (seen,))


def _request(exchange: Exchange, allocator: Allocator) -> Outgoing | Silence:
    """SELECTING names a server, INIT-REBOOT an address, RENEWING and REBINDING fill ciaddr."""
    packet, now = exchange.packet, exchange.arrival.time
    chosen = options.address(packet, Code.SERVER_IDENTIFIER)
    if chosen is not None and chosen != exchange.arrival.interface_address:
        allocator.withdraw(exchange.machine.mac)
        return Silence(f"the client chose the server {chosen}")
    wanted = options.address(packet, Code.REQUESTED_ADDRESS)
    if wanted is None:
        wanted = packet.ciaddr
    if wanted == ANY:
        return Silence("it requests no address")
    link = _link(exchange, allocator)
    subnet = allocator.subnet(link)
    if subnet is None:
        return Silence(f"no subnet holds {link}")
    renewal = chosen is None and packet.ciaddr != ANY
    seen = () if renewal else (exchange.seen("request", address=str(wanted)),)
    if chosen is None and not subnet.authoritative and not allocator.knows(exchange.machine.mac):
        return Silence("an unknown client's address may be another server's", seen)
    lease = allocator.confirm(exchange.machine.mac, wanted, link, now)
    if lease is None:
        return _refuse(exchange, subnet, wanted, seen)
    return _grant(exchange, MessageType.ACK, subnet, lease, seen)


def _refuse(
    exchange: Exchange, subnet: Subnet, wanted: IPv4Address, seen: tuple[DhcpEvent, ...]
) -> Outgoing | Silence:
    why = f"{wanted} is not this machine's address on {subnet.network}"
    events = (*seen, exchange.event("ignored", why=why))
    if not subnet.authoritative:
        return Silence(why, events)
    message: dict[int, bytes] = {Code.MESSAGE: why.encode()[:255]}
    back = refusal_route(exchange.packet)
    return build(exchange, MessageType.NAK, back, network=message, events=events)


def _inform(exchange: Exchange, allocator: Allocator) -> Outgoing | Silence:
    """Parameters without a lease for a client that has its address."""
    link = _link(exchange, allocator)
    subnet = allocator.subnet(link)
    if subnet is None:
        return Silence(f"no subnet holds {link}")
    boot, _ = _boot(exchange)
    back = route(exchange.packet, ANY)
    return build(exchange, MessageType.ACK, back, network=_network(subnet), boot=boot)


def _release(exchange: Exchange, allocator: Allocator) -> Silence:
    packet = exchange.packet
    ended = allocator.release(exchange.machine.mac, packet.ciaddr, exchange.arrival.time)
    return Silence("the lease ended" if ended else f"{packet.ciaddr} is not this machine's lease")


def _decline(exchange: Exchange, allocator: Allocator) -> Silence:
    address = options.address(exchange.packet, Code.REQUESTED_ADDRESS) or ANY
    if not allocator.decline(exchange.machine.mac, address, exchange.arrival.time):
        return Silence(f"{address} is not this machine's lease")
    why = f"{address} is in use by somebody else: find the machine with this fixed address"
    return Silence(why, (exchange.event("ignored", why=why),))


def _grant(
    exchange: Exchange,
    kind: MessageType,
    subnet: Subnet,
    lease: Lease,
    seen: tuple[DhcpEvent, ...],
) -> Outgoing | Silence:
    boot, ignored = _boot(exchange)
    detail = {"address": str(lease.address)}
    if boot is not None and boot.summary is not None:
        detail["boot"] = boot.summary
    name = exchange.event("offer" if kind is MessageType.OFFER else "ack", **detail)
    network = _lease_times(subnet) | _network(subnet)
    if lease.hostname:
        network[Code.HOST_NAME] = lease.hostname.encode()
    network |= without_proxy_wait(exchange.packet, exchange.machine)
    return build(
        exchange,
        kind,
        route(exchange.packet, lease.address),
        yiaddr=lease.address,
        network=network,
        boot=boot,
        events=(*seen, *ignored, name) if seen else (),
    )


def _boot(exchange: Exchange) -> tuple[BootInfo | None, tuple[DhcpEvent, ...]]:
    """Boot information for who boots from the network, and the event that says why not."""
    if not exchange.machine.is_pxe:
        return None, ()
    answer = exchange.policy.answer(exchange.machine)
    server = exchange.arrival.interface_address
    info = boot_info(exchange.packet, exchange.machine, answer, server)
    match answer, info:
        case _, Ignore(why):
            return None, (exchange.event("ignored", why=why),)
        case LocalDisk(why), BootInfo():
            return info, (exchange.event("ignored", why=why),)
        case _:
            return info, ()


def _lease_times(subnet: Subnet) -> dict[int, bytes]:
    """Options 51, 58, 59: renew at half, rebind at seven eighths of the lease."""
    seconds = subnet.lease_s
    times = {
        Code.LEASE_TIME: seconds,
        Code.RENEWAL_TIME: seconds // 2,
        Code.REBINDING_TIME: seconds * 7 // 8,
    }
    return {code: time.to_bytes(4, "big") for code, time in times.items()}


def _network(subnet: Subnet) -> dict[int, bytes]:
    found: dict[int, bytes] = {
        Code.SUBNET_MASK: subnet.network.netmask.packed,
        Code.BROADCAST_ADDRESS: subnet.network.broadcast_address.packed,
    }
    if subnet.router is not None:
        found[Code.ROUTER] = subnet.router.packed
    if subnet.dns_servers:
        found[Code.DNS_SERVERS] = options.pack_addresses(subnet.dns_servers)
    if subnet.domain:
        found[Code.DOMAIN_NAME] = subnet.domain.encode()
    return found


def _link(exchange: Exchange, allocator: Allocator) -> IPv4Address:
    """An address on the client's network: by option 82, the relay, its own, our interface's."""
    packet = exchange.packet
    try:
        selected = suboptions(packet.options.get(Code.RELAY_AGENT, b"")).get(_LINK_SELECTION, b"")
    except PacketError:
        selected = b""
    if packet.giaddr != ANY:
        return IPv4Address(selected) if len(selected) == 4 else packet.giaddr
    if exchange.arrival.source == packet.ciaddr and allocator.subnet(packet.ciaddr):
        return packet.ciaddr
    return exchange.arrival.interface_address
