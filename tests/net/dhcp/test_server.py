"""The DHCP server on a cable between two namespaces: a real client, crafted ones, and abuse."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.linux.run import run, spawn
from bootserver.boot.machine import Answer, Bootfile, Ignore
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import BROADCAST_FLAG, Packet, encode, parse
from bootserver.dhcp.server import DhcpServer
from bootserver.leases import Allocator, Pool, Reservation, Subnet
from lab import waiting
from tests.fuzz.fuzz_dhcp import seeds
from tests.fuzz.mutate import mutants
from tests.kit.dhcp import (
    POOL,
    SERVER,
    SUBNET,
    FixedPolicy,
    MemoryStore,
    captured,
    message,
    proxy_policy,
)
from tests.kit.netns import FAR, NEAR, Peer, cable

pytestmark = pytest.mark.net

RELAY = IPv4Address("10.77.0.2")
FAR_SUBNET = Subnet(
    IPv4Network("10.88.0.0/24"), (Pool(IPv4Address("10.88.0.10"), IPv4Address("10.88.0.20")),)
)
EFI = Bootfile("x86_64/snponly.efi")
CLIENT_SCRIPT = """#!/bin/sh
[ "$1" = deconfig ] && ip address flush dev "$interface"
[ "$1" = bound ] && ip address add "$ip/$mask" dev "$interface"
echo "$1 ip=$ip mask=$mask router=$router dns=$dns domain=$domain lease=$lease host=$hostname" \\
  >> {log}
"""


@dataclass
class Rack:
    """A server in a thread and the peer on the other end of its cable."""

    server: DhcpServer
    store: MemoryStore
    peer: Peer
    policy: FixedPolicy
    folder: Path

    def heard(self) -> str:
        """What the client's script was told so far."""
        path = self.folder / "client.log"
        return path.read_text() if path.exists() else ""

    def script(self) -> str:
        path = self.folder / "script"
        path.write_text(CLIENT_SCRIPT.format(log=self.folder / "client.log"))
        path.chmod(0o755)
        return str(path)


@contextmanager
def rack(
    folder: Path, *, proxy: bool = False, answer: Answer = EFI, store: MemoryStore | None = None
) -> Iterator[Rack]:
    store = store or MemoryStore()
    policy = proxy_policy(answer)
    if not proxy:
        books = Allocator((SUBNET, FAR_SUBNET), store, taken=frozenset({SERVER, RELAY}))
        policy = FixedPolicy(books, lambda _: answer)
    with cable(folder / "peer.log") as peer:
        server = DhcpServer(NEAR, SERVER, policy)
        stop = threading.Event()
        thread = threading.Thread(target=server.run, args=(stop,), name="dhcp")
        thread.start()
        try:
            yield Rack(server, store, peer, policy, folder)
        finally:
            stop.set()
            thread.join()


class Talker:
    """A UDP client in the peer's namespace, on one port of its interface."""

    def __init__(self, peer: Peer, port: int) -> None:
        with peer.entered():
            self.socket = socket.socket(type=socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, FAR.encode())
            self.socket.bind(("", port))
        self.socket.settimeout(5)

    def ask(self, packet: Packet | bytes, to: tuple[str, int] = ("255.255.255.255", 67)) -> None:
        self.socket.sendto(packet if isinstance(packet, bytes) else encode(packet), to)

    def hear(self) -> Packet:
        data, self.heard_from = self.socket.recvfrom(4096)
        return parse(data)


@contextmanager
def talking(peer: Peer, port: int = 68) -> Iterator[Talker]:
    one = Talker(peer, port)
    with one.socket:
        yield one


def discover(**fields: Any) -> Packet:
    return message(MessageType.DISCOVER, flags=BROADCAST_FLAG, **fields)


@pytest.mark.parametrize("broadcast", [[], ["-B"]], ids=["by-hardware-address", "by-broadcast"])
def test_a_real_client_gets_its_lease(tmp_path: Path, broadcast: list[str]) -> None:
    with rack(tmp_path) as one:
        argv = ["udhcpc", "-i", FAR, "-q", "-n", "-f", "-t", "5", "-s", one.script(), *broadcast]
        run(one.peer.inside(argv))
        (lease,) = one.store.leases.values()
        assert lease.address in POOL
        assert (
            f"bound ip={lease.address} mask=24 router=10.77.0.254 dns=10.77.0.1 10.77.0.2 "
            f"domain=rack.lan lease=3600" in one.heard()
        )
        assert [event.event for event in one.policy.events] == [
            "discover",
            "offer",
            "request",
            "ack",
        ]


def test_a_real_client_renews_and_releases(tmp_path: Path) -> None:
    with rack(tmp_path) as one:
        argv = ["udhcpc", "-i", FAR, "-f", "-R", "-t", "5", "-s", one.script()]
        with spawn(one.peer.inside(argv), log=tmp_path / "udhcpc.log") as client:
            told(one, "bound ip=")
            (first,) = one.store.leases.values()
            books = one.policy.allocator
            assert books is not None
            client.signal(signal.SIGUSR1)
            told(one, "renew ip=")
            (renewed,) = one.store.leases.values()
            assert renewed.address == first.address
            assert renewed.expires > first.expires
            client.signal(signal.SIGTERM)
            gone = renewed.expires - 60
            waiting.until(
                lambda: not books.active(gone), limit_s=5, what="the release", poll_s=0.05
            )


def told(one: Rack, what: str) -> None:
    waiting.until(lambda: what in one.heard(), limit_s=10, what=what, poll_s=0.05)


def test_a_reserved_machine_gets_its_address_and_name(tmp_path: Path) -> None:
    with rack(tmp_path) as one:
        shown = run(one.peer.inside(["ip", "-br", "link", "show", FAR])).stdout
        mac = next(word for word in shown.split() if word.count(":") == 5)
        assert one.policy.allocator is not None
        one.policy.allocator.reserve([Reservation(mac, IPv4Address("10.77.0.42"), "node42")])
        argv = ["udhcpc", "-i", FAR, "-q", "-n", "-f", "-O", "hostname", "-s", one.script()]
        run(one.peer.inside(argv))
        assert "bound ip=10.77.0.42" in one.heard()
        assert "host=node42" in one.heard()


def test_a_real_client_that_asks_for_a_foreign_address_gets_one_of_ours(tmp_path: Path) -> None:
    with rack(tmp_path) as one:
        argv = ["udhcpc", "-i", FAR, "-q", "-n", "-f", "-r", "192.168.9.9", "-s", one.script()]
        run(one.peer.inside(argv))
        (lease,) = one.store.leases.values()
        assert lease.address in POOL


def test_a_relays_client_gets_an_address_of_its_network(tmp_path: Path) -> None:
    circuit = bytes([1, 4, 1, 2, 3, 4])
    with rack(tmp_path) as one:
        one.peer.ip("address", "add", f"{RELAY}/24", "dev", FAR)
        one.peer.ip("address", "add", "10.88.0.1/24", "dev", "lo")
        run(["ip", "route", "add", "10.88.0.0/24", "via", str(RELAY)])
        with one.peer.entered(), socket.socket(type=socket.SOCK_DGRAM) as relay:
            relay.bind(("10.88.0.1", 67))
            relay.settimeout(5)
            packet = message(
                MessageType.DISCOVER,
                options={int(Code.RELAY_AGENT): circuit},
                giaddr=IPv4Address("10.88.0.1"),
                hops=1,
            )
            relay.sendto(encode(packet), (str(SERVER), 67))
            offer = parse(relay.recv(4096))
    assert offer.yiaddr in FAR_SUBNET.network
    assert offer.options[Code.RELAY_AGENT] == circuit
    assert offer.giaddr == IPv4Address("10.88.0.1")


def test_a_captured_firmware_is_offered_its_boot_file_by_the_proxy(tmp_path: Path) -> None:
    with rack(tmp_path, proxy=True) as one, talking(one.peer) as client:
        client.ask(captured("ovmf-pxe-discover"))
        offer = client.hear()
        assert client.heard_from == (str(SERVER), 67)
        assert (offer.yiaddr, offer.file) == (IPv4Address(0), EFI.path.encode())
        one.peer.ip("address", "add", "10.77.0.58/24", "dev", FAR)
        asked = {**captured("ovmf-pxe-request").options}
        client.ask(
            message(MessageType.REQUEST, options=asked, ciaddr=IPv4Address("10.77.0.58")),
            (str(SERVER), 4011),
        )
        acknowledged = client.hear()
        assert client.heard_from == (str(SERVER), 4011)
        assert acknowledged.options[Code.MESSAGE_TYPE] == bytes((MessageType.ACK,))
        assert acknowledged.file == EFI.path.encode()
        assert one.store.leases == {}


def test_garbage_is_counted_and_survived(tmp_path: Path) -> None:
    with rack(tmp_path, answer=Ignore("x")) as one, talking(one.peer) as client:
        garbage = mutants(seeds(), 5, 1400)
        for _ in range(500):
            client.ask(next(garbage))
        one.peer.ip("address", "add", "10.77.0.58/24", "dev", FAR)
        client.ask(replace(discover(), xid=0xFEED))
        offer = client.hear()
        while offer.xid != 0xFEED:
            offer = client.hear()
        assert offer.yiaddr in POOL
        assert one.server.counters.malformed > 50
        assert one.server.counters.failed == 0


class BrokenStore(MemoryStore):
    """A database that is gone."""

    def save(self, lease: object) -> None:
        raise RuntimeError("the database is gone")


def test_without_its_store_the_server_acknowledges_nothing_but_goes_on(tmp_path: Path) -> None:
    with rack(tmp_path, store=BrokenStore()) as one, talking(one.peer) as client:
        client.ask(discover())
        offer = client.hear()
        wanted = {
            int(Code.REQUESTED_ADDRESS): offer.yiaddr.packed,
            int(Code.SERVER_IDENTIFIER): SERVER.packed,
        }
        client.ask(message(MessageType.REQUEST, options=wanted, flags=BROADCAST_FLAG))
        client.ask(discover())
        assert client.hear().options[Code.MESSAGE_TYPE] == bytes((MessageType.OFFER,))
        assert one.server.counters.failed == 1


def test_a_taken_port_says_who_must_act(tmp_path: Path) -> None:
    with rack(tmp_path) as one:
        with pytest.raises(TridentError) as raised:
            DhcpServer(NEAR, SERVER, one.policy)
        assert raised.value.code == "dhcp-port-unavailable"
        assert "stop the other DHCP server" in (raised.value.hint or "")


def test_a_missing_interface_says_who_must_act(tmp_path: Path) -> None:
    with cable(tmp_path / "peer.log"):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(TridentError, match="interface nope"):
            DhcpServer("nope", SERVER, proxy_policy(EFI))
        assert len(os.listdir("/proc/self/fd")) == before
