"""What the rack's DNS answers, read back with the codec."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from dnslib import CLASS, EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord, EDNSOption
from hypothesis import given
from hypothesis import strategies as st

from bootserver.dns.zone import Zone, answer

SERVER = IPv4Address("10.77.0.1")
ZONE = Zone(
    "rack.lan",
    SERVER,
    {
        "node1": IPv4Address("10.77.0.10"),
        "Node2": IPv4Address("10.77.0.11"),
        "alias": IPv4Address("10.77.0.11"),
    },
    (IPv4Network("10.77.0.0/24"), IPv4Network("10.88.4.0/22")),
)


def ask(name: str, kind: str = "A", zone: Zone = ZONE) -> DNSRecord:
    packed = answer(DNSRecord.question(name, kind).pack(), zone)
    assert packed is not None
    return DNSRecord.parse(packed)


def status(reply: DNSRecord) -> str:
    return str(RCODE[reply.header.rcode])


@pytest.mark.parametrize("name", ["node1.rack.lan", "NODE1.Rack.LAN", "node1.rack.lan."])
def test_a_machines_address(name: str) -> None:
    reply = ask(name)
    assert [str(one.rdata) for one in reply.rr] == ["10.77.0.10"]
    assert (reply.header.aa, reply.header.ra, status(reply)) == (1, 0, "NOERROR")


def test_an_addresss_name() -> None:
    assert [str(one.rdata) for one in ask("10.0.77.10.in-addr.arpa", "PTR").rr] == [
        "node1.rack.lan."
    ]


def test_of_several_names_the_first_in_the_alphabet_is_the_address_name() -> None:
    reply = ask("11.0.77.10.in-addr.arpa", "PTR")
    assert [str(one.rdata) for one in reply.rr] == ["alias.rack.lan."]


def test_the_server_itself_has_a_name() -> None:
    assert [str(one.rdata) for one in ask("ns.rack.lan").rr] == ["10.77.0.1"]
    assert [str(one.rdata) for one in ask("1.0.77.10.in-addr.arpa", "PTR").rr] == ["ns.rack.lan."]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("node9.rack.lan", "A", "NXDOMAIN"),
        ("a.node1.rack.lan", "A", "NXDOMAIN"),
        ("node1.rack.lan", "AAAA", "NOERROR"),
        ("node1.rack.lan", "MX", "NOERROR"),
        ("rack.lan", "A", "NOERROR"),
        ("77.0.77.10.in-addr.arpa", "PTR", "NXDOMAIN"),
        ("10.0.77.10.in-addr.arpa", "A", "NOERROR"),
        ("0.77.10.in-addr.arpa", "PTR", "NOERROR"),
        ("1.6.88.10.in-addr.arpa", "PTR", "NXDOMAIN"),
    ],
)
def test_what_does_not_exist_is_denied_with_authority(name: str, kind: str, expected: str) -> None:
    reply = ask(name, kind)
    assert (status(reply), reply.header.aa, reply.rr) == (expected, 1, [])
    assert [one.rtype for one in reply.auth] == [QTYPE.SOA]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.com", "A"),
        ("lan", "SOA"),
        (".", "NS"),
        ("node1.rack.lan", "ANY"),
        ("rack.lan", "AXFR"),
        ("rack.lan", "IXFR"),
        ("1.1.168.192.in-addr.arpa", "PTR"),
        ("1.8.88.10.in-addr.arpa", "PTR"),
        ("77.10.in-addr.arpa", "SOA"),
        ("01.0.77.10.in-addr.arpa", "PTR"),
        ("1.2.3.4.5.in-addr.arpa", "PTR"),
    ],
)
def test_everything_else_is_refused_without_data(name: str, kind: str) -> None:
    reply = ask(name, kind)
    assert (status(reply), reply.header.aa) == ("REFUSED", 0)
    assert (reply.rr, reply.auth, reply.ar) == ([], [], [])


@pytest.mark.parametrize("apex", ["rack.lan", "0.77.10.in-addr.arpa", "88.10.in-addr.arpa"])
def test_each_apex_has_its_authority_record(apex: str) -> None:
    reply = ask(apex, "SOA")
    assert [str(one.rname) for one in reply.rr] == [f"{apex}."]
    assert str(reply.rr[0].rdata).startswith("ns.rack.lan. hostmaster.rack.lan. 1 ")


def test_the_name_server_is_named_with_its_address() -> None:
    reply = ask("rack.lan", "NS")
    assert [str(one.rdata) for one in reply.rr] == ["ns.rack.lan."]
    assert [str(one.rdata) for one in reply.ar] == ["10.77.0.1"]


def test_another_class_is_refused() -> None:
    query = DNSRecord(q=DNSQuestion("node1.rack.lan", QTYPE.A, CLASS.CH))
    reply = answer(query.pack(), ZONE)
    assert reply is not None
    assert status(DNSRecord.parse(reply)) == "REFUSED"


def test_other_operations_are_not_implemented() -> None:
    query = DNSRecord(DNSHeader(opcode=5), q=DNSQuestion("rack.lan"))
    reply = answer(query.pack(), ZONE)
    assert reply is not None
    assert status(DNSRecord.parse(reply)) == "NOTIMP"


def test_edns_is_answered_with_edns() -> None:
    query = DNSRecord.question("node1.rack.lan")
    query.add_ar(EDNS0(udp_len=4096, opts=[EDNSOption(10, b"cookie!!")]))
    packed = answer(query.pack(), ZONE)
    assert packed is not None
    reply = DNSRecord.parse(packed)
    assert [(one.rtype, one.edns_len) for one in reply.ar] == [(QTYPE.OPT, 1232)]
    assert len(reply.rr) == 1


def test_an_unknown_edns_version_is_refused() -> None:
    query = DNSRecord.question("node1.rack.lan")
    query.add_ar(EDNS0(udp_len=4096, version=1))
    packed = answer(query.pack(), ZONE)
    assert packed is not None
    reply = DNSRecord.parse(packed)
    assert (reply.rr, reply.ar[0].edns_rcode) == ([], 1)


def test_the_question_comes_back_with_its_identifier_and_case() -> None:
    query = DNSRecord.question("nOdE1.rack.lan")
    packed = answer(query.pack(), ZONE)
    assert packed is not None
    reply = DNSRecord.parse(packed)
    assert reply.header.id == query.header.id
    assert str(reply.q.qname) == "nOdE1.rack.lan."


@pytest.mark.parametrize("kind", ["A", "PTR", "SOA", "NS", "AAAA"])
def test_the_longest_names_still_fit_plain_udp(kind: str) -> None:
    domain = ".".join("x" * 60 for _ in range(4))[:235]
    zone = Zone(domain, SERVER, {"y": IPv4Address("10.77.0.3")}, ZONE.networks)
    names = (domain, f"y.{domain}", f"z.{domain}", "3.0.77.10.in-addr.arpa", "0.77.10.in-addr.arpa")
    replies = [answer(DNSRecord.question(name, kind).pack(), zone) for name in names]
    assert all(one is not None and len(one) <= 512 for one in replies)


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\0\0\x80\0" + bytes(8)])
def test_what_is_no_query_gets_no_answer(data: bytes) -> None:
    assert answer(data, ZONE) is None


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0),
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01",
        struct.pack("!HHHHHH", 7, 0x0100, 2, 0, 0, 0) + b"\x01a\0\0\x01\0\x01" * 2,
        struct.pack("!HHHHHH", 7, 0x0100, 0, 0, 0, 0),
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x02\xff\xfe\0\0\x01\0\x01",
    ],
)
def test_a_broken_query_is_a_format_error(data: bytes) -> None:
    reply = answer(data, ZONE)
    assert reply is not None
    parsed = DNSRecord.parse(reply)
    assert (parsed.header.id, status(parsed)) == (7, "FORMERR")


@given(st.binary(min_size=12, max_size=300))
def test_arbitrary_bytes_get_an_answer_or_none(data: bytes) -> None:
    reply = answer(data, ZONE)
    assert reply is None or len(reply) <= 512


@given(
    st.integers(0, 65535),
    st.integers(0, 3),
    st.integers(0, 3),
    st.binary(max_size=300),
)
def test_arbitrary_bodies_get_an_answer(
    flags: int, questions: int, extra: int, body: bytes
) -> None:
    head = struct.pack("!HHHHHH", 1, flags & 0x7FFF, questions, 0, 0, extra)
    assert answer(head + body, ZONE) is not None
