"""Answers of the rack's DNS: the machines of one domain and their addresses, nothing else. Pure.

RFC 1034/1035, 2308 (negative answers), 6891 (EDNS), 8482 (ANY refused). Authoritative only: no
recursion, no transfers. dnslib is the codec.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from dnslib import (
    CLASS,
    EDNS0,
    NS,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    A,
    DNSError,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)

TTL_S = 60
"""Seconds. Leases move, so answers are short-lived."""
MAX_QUERY_SIZE = 512
"""Bytes: one question and EDNS; more is not parsed."""
_UDP_PAYLOAD = 1232
"""What we take over UDP with EDNS (DNS flag day 2020)."""
_HEADER_SIZE = 12
_QUERY_OPCODE = 0
_BAD_VERSION = 1
"""Upper bits of RCODE BADVERS (16), as EDNS carries them."""
_REFUSED_TYPES = {QTYPE.ANY, QTYPE.AXFR, QTYPE.IXFR}
_CODEC_ERRORS = (DNSError, struct.error, ValueError, IndexError, KeyError)

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Zone:
    """A snapshot of what is served. `hosts` maps host names without the domain."""

    domain: str
    server: IPv4Address
    hosts: Mapping[str, IPv4Address] = field(default_factory=dict)
    networks: tuple[IPv4Network, ...] = ()
    """Whose reverse names we answer for."""
    serial: int = 1

    @cached_property
    def apex(self) -> Labels:
        """The domain as lower-case labels."""
        return tuple(self.domain.lower().rstrip(".").split("."))

    @cached_property
    def addresses(self) -> dict[Labels, IPv4Address]:
        """Address of each full name, `ns` (this server) included."""
        named = {"ns": self.server, **self.hosts}
        return {(*name.lower().split("."), *self.apex): address for name, address in named.items()}

    @cached_property
    def names(self) -> dict[IPv4Address, Labels]:
        """Full name of each address; of several, the first in the alphabet."""
        pairs = sorted(self.addresses.items(), reverse=True)
        return {address: name for name, address in pairs}


def answer(query: bytes, zone: Zone) -> bytes | None:
    """The response to one message; None for what must not be answered (no header, a response).

    One record and at most one SOA: a response always fits the 512 bytes of plain UDP.
    """
    if len(query) < _HEADER_SIZE or query[2] & 0x80:
        return None
    try:
        record = DNSRecord.parse(query[:MAX_QUERY_SIZE])
        reply = _respond(record, zone)
        packed: bytes = reply.pack()
    except _CODEC_ERRORS:
        identifier = int.from_bytes(query[:2], "big")
        header = DNSHeader(id=identifier, qr=1, rd=0, rcode=RCODE.FORMERR)
        packed = DNSRecord(header).pack()
    return packed


def _respond(record: DNSRecord, zone: Zone) -> DNSRecord:
    header = record.header
    reply = DNSRecord(
        DNSHeader(id=header.id, qr=1, opcode=header.opcode, rd=header.rd, aa=0),
        record.questions if len(record.questions) == 1 else [],
    )
    edns = _edns(record)
    if edns is not None:
        unknown = edns.edns_ver != 0
        reply.add_ar(EDNS0(udp_len=_UDP_PAYLOAD, ext_rcode=_BAD_VERSION if unknown else 0))
        if unknown:
            return reply
    if header.opcode != _QUERY_OPCODE:
        reply.header.rcode = RCODE.NOTIMP
    elif len(record.questions) != 1:
        reply.header.rcode = RCODE.FORMERR
    else:
        _look_up(record.questions[0], zone, reply)
    return reply


def _look_up(question: DNSQuestion, zone: Zone, reply: DNSRecord) -> None:
    """Fill in the answer to one question."""
    labels = tuple(one.decode("ascii").lower() for one in question.qname.label)
    served = question.qclass == CLASS.IN and question.qtype not in _REFUSED_TYPES
    if served and labels[-len(zone.apex) :] == zone.apex:
        _forward(question, labels, zone, reply)
    elif served and labels[-2:] == ("in-addr", "arpa"):
        _reverse(question, labels, zone, reply)
    else:
        reply.header.rcode = RCODE.REFUSED


def _forward(question: DNSQuestion, labels: Labels, zone: Zone, reply: DNSRecord) -> None:
    reply.header.aa = 1
    address = zone.addresses.get(labels)
    apex = labels == zone.apex
    if question.qtype == QTYPE.A and address is not None:
        reply.add_answer(RR(question.qname, QTYPE.A, rdata=A(str(address)), ttl=TTL_S))
    elif question.qtype == QTYPE.NS and apex:
        name_server = ".".join(("ns", *zone.apex))
        reply.add_answer(RR(question.qname, QTYPE.NS, rdata=NS(name_server), ttl=TTL_S))
        reply.add_ar(RR(name_server, QTYPE.A, rdata=A(str(zone.server)), ttl=TTL_S))
    elif question.qtype == QTYPE.SOA and apex:
        reply.add_answer(_authority(zone.apex, zone))
    else:
        _negative(reply, zone.apex, zone, exists=apex or address is not None)


def _reverse(question: DNSQuestion, labels: Labels, zone: Zone, reply: DNSRecord) -> None:
    octets = labels[:-2][::-1]
    network = _network(octets, zone)
    if network is None:
        reply.header.rcode = RCODE.REFUSED
        return
    reply.header.aa = 1
    name = zone.names.get(IPv4Address(".".join(octets))) if len(octets) == 4 else None
    if question.qtype == QTYPE.PTR and name is not None:
        target = PTR(".".join(name))
        reply.add_answer(RR(question.qname, QTYPE.PTR, rdata=target, ttl=TTL_S))
        return
    apex = _reverse_apex(network)
    if question.qtype == QTYPE.SOA and labels == apex:
        reply.add_answer(_authority(apex, zone))
        return
    _negative(reply, apex, zone, exists=name is not None or len(octets) < 4)


def _network(octets: Labels, zone: Zone) -> IPv4Network | None:
    """The served network an address of one to four leading octets lies in, else None."""
    try:
        address = IPv4Address(".".join((*octets, *("0",) * (4 - len(octets)))))
    except AddressValueError:
        return None
    for network in zone.networks:
        if len(octets) * 8 >= network.prefixlen // 8 * 8 and address in _octet_network(network):
            return network if len(octets) < 4 or address in network else None
    return None


def _octet_network(network: IPv4Network) -> IPv4Network:
    """The smallest network on an octet boundary that holds `network`."""
    whole = network.prefixlen // 8 * 8
    return network.supernet(new_prefix=whole) if whole < network.prefixlen else network


def _reverse_apex(network: IPv4Network) -> Labels:
    whole = network.prefixlen // 8
    octets = str(network.network_address).split(".")[:whole]
    return (*octets[::-1], "in-addr", "arpa")


def _negative(reply: DNSRecord, apex: Labels, zone: Zone, *, exists: bool) -> None:
    """No such name, or no such type at this name: with the SOA, so that it can be cached."""
    reply.header.rcode = RCODE.NOERROR if exists else RCODE.NXDOMAIN
    reply.add_auth(_authority(apex, zone))


def _authority(apex: Labels, zone: Zone) -> RR:
    name_server, mailbox = (".".join((host, *zone.apex)) for host in ("ns", "hostmaster"))
    times = (zone.serial, 3600, 600, 86400, TTL_S)
    return RR(".".join(apex), QTYPE.SOA, rdata=SOA(name_server, mailbox, times), ttl=TTL_S)


def _edns(record: DNSRecord) -> RR | None:
    return next((one for one in record.ar if one.rtype == QTYPE.OPT), None)
