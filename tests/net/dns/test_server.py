"""The DNS server with real sockets: UDP, TCP, and connections that misbehave."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord

from agent.api.errors import TridentError
from bootserver.dns.server import DnsServer
from bootserver.dns.zone import Zone
from tests.kit.netns import isolated

LOOPBACK = IPv4Address("127.0.0.1")
NETWORK = IPv4Network("10.77.0.0/24")


class Rack:
    """The names served; a test may change them while the server runs."""

    def __init__(self) -> None:
        self.zone = Zone("rack.lan", LOOPBACK, {"node1": IPv4Address("10.77.0.10")}, (NETWORK,))
        self.broken = False

    def current(self) -> Zone:
        if self.broken:
            raise RuntimeError("the database is gone")
        return self.zone


@pytest.fixture
def rack() -> Rack:
    return Rack()


@pytest.fixture
def server(rack: Rack) -> Iterator[DnsServer]:
    one = DnsServer(LOOPBACK, 0, rack.current, connection_s=2.0)
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop,), name="dns")
    thread.start()
    yield one
    stop.set()
    thread.join()


def ask(server: DnsServer, name: str, kind: str = "A", *, tcp: bool = False) -> DNSRecord:
    query = DNSRecord.question(name, kind)
    return DNSRecord.parse(query.send("127.0.0.1", server.port, tcp=tcp, timeout=5))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_names_and_addresses_are_answered(server: DnsServer, tcp: bool) -> None:
    forward = ask(server, "node1.rack.lan", tcp=tcp)
    reverse = ask(server, "10.0.77.10.in-addr.arpa", "PTR", tcp=tcp)
    foreign = ask(server, "example.com", tcp=tcp)
    assert [str(one.rdata) for one in forward.rr] == ["10.77.0.10"]
    assert [str(one.rdata) for one in reverse.rr] == ["node1.rack.lan."]
    assert RCODE[foreign.header.rcode] == "REFUSED"
    assert server.queries == 3


def test_a_zone_transfer_is_refused(server: DnsServer) -> None:
    assert RCODE[ask(server, "rack.lan", "AXFR", tcp=True).header.rcode] == "REFUSED"


def test_new_names_are_served_at_once(rack: Rack, server: DnsServer) -> None:
    assert RCODE[ask(server, "node2.rack.lan").header.rcode] == "NXDOMAIN"
    rack.zone = Zone("rack.lan", LOOPBACK, {"node2": IPv4Address("10.77.0.11")})
    assert [str(one.rdata) for one in ask(server, "node2.rack.lan").rr] == ["10.77.0.11"]


def connect(server: DnsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def framed(query: bytes) -> bytes:
    return struct.pack("!H", len(query)) + query


def test_several_queries_on_one_connection_in_odd_pieces(server: DnsServer) -> None:
    query = framed(DNSRecord.question("node1.rack.lan").pack())
    with connect(server) as client, client.makefile("rb") as answers:
        stream = query * 3
        for start in range(0, len(stream), 7):
            client.sendall(stream[start : start + 7])
        for _ in range(3):
            (size,) = struct.unpack("!H", answers.read(2))
            assert len(DNSRecord.parse(answers.read(size)).rr) == 1


@pytest.mark.parametrize("sent", [b"\xff\xff" + bytes(100), framed(b"\0" * 3)])
def test_a_connection_that_sends_nonsense_is_closed(server: DnsServer, sent: bytes) -> None:
    with connect(server) as client:
        client.sendall(sent)
        assert client.recv(100) == b""


def test_idle_connections_do_not_keep_others_out(server: DnsServer) -> None:
    idle = [connect(server) for _ in range(40)]
    with connect(server) as late:
        assert late.recv(1) == b""
    assert len(ask(server, "node1.rack.lan").rr) == 1
    for one in idle:
        assert one.recv(1) == b""
        one.close()
    assert len(ask(server, "node1.rack.lan", tcp=True).rr) == 1


def test_garbage_and_a_broken_zone_are_survived(rack: Rack, server: DnsServer) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        for _ in range(200):
            client.sendto(os.urandom(60), ("127.0.0.1", server.port))
    rack.broken = True
    with pytest.raises(TimeoutError):
        DNSRecord.question("node1.rack.lan").send("127.0.0.1", server.port, timeout=0.3)
    rack.broken = False
    assert len(ask(server, "node1.rack.lan").rr) == 1


def test_a_taken_port_says_who_must_act(rack: Rack, server: DnsServer) -> None:
    with pytest.raises(TridentError) as raised:
        DnsServer(LOOPBACK, server.port, rack.current)
    assert raised.value.code == "dns-port-unavailable"
    assert "ss -lnp" in (raised.value.hint or "")


@pytest.mark.net
def test_any_port_is_one_that_is_free_for_udp_and_tcp(rack: Rack) -> None:
    """Of sixteen ports eight are taken for TCP, two for UDP: each server finds another one."""
    with isolated(), ExitStack() as others:
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40015")
        for port in range(40000, 40016, 2):
            others.enter_context(socket.create_server(("127.0.0.1", port)))
        for port in (40001, 40003):
            others.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        for _ in range(30):
            server = DnsServer(LOOPBACK, 0, rack.current)
            assert server.port in range(40005, 40016, 2)
            server.close()
