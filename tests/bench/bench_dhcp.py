"""Measures DHCP: replies a second of codec and decision alone, and of the server over a veth cable.

`run()` needs root (two network namespaces). The client keeps 64 DISCOVERs of different machines in
flight and counts OFFERs; every machine gets an address of its own, which is checked.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from agent.linux.run import spawn
from bootserver.boot.machine import Bootfile
from bootserver.dhcp.exchange import Outgoing
from bootserver.dhcp.packet import BROADCAST_FLAG, Packet, encode, parse
from bootserver.dhcp.reply import reply
from bootserver.dhcp.server import DhcpServer
from bootserver.leases import Allocator, Pool, Subnet
from tests.kit.dhcp import FixedPolicy, MemoryStore, arrival, captured
from tests.kit.netns import FAR, NEAR, Peer, cable

ROUNDS = 5
MACHINES = 5000
IN_FLIGHT = 64
SERVER = IPv4Address("10.77.0.1")
SUBNET = Subnet(
    IPv4Network("10.77.0.0/16"), (Pool(IPv4Address("10.77.1.0"), IPv4Address("10.77.254.255")),)
)


def run() -> dict[str, object]:
    """Medians of all rounds."""
    with tempfile.TemporaryDirectory() as folder:
        wire = over_cable(Path(folder))
    return {
        "machines": MACHINES,
        "decisionsPerCpuSecond": round(statistics.median(decisions() for _ in range(ROUNDS))),
        "repliesPerSecondOverVeth": round(statistics.median(wire)),
        "rounds": [round(one) for one in wire],
    }


def decisions() -> float:
    """Parse, decide, lease, encode, without sockets: replies a second of one core's time."""
    policy = _policy()
    packets = [encode(one) for one in _discovers()]
    where = arrival(interface=SERVER)
    began = time.process_time()
    for data in packets:
        if not isinstance(reply(parse(data), where, policy), Outgoing):
            raise RuntimeError("a machine got no offer")
    return len(packets) / (time.process_time() - began)


def over_cable(folder: Path) -> list[float]:
    """OFFERs a second of a server process, as its clients see them."""
    command = (sys.executable, "-m", __spec__.name, "--serve")
    source = Path(__file__).resolve().parents[2]
    with (
        cable(folder / "peer.log", "10.77.0.1/16") as peer,
        spawn(command, log=folder / "server.log", cwd=source),
        _client(peer) as client,
    ):
        _until_served(client)
        return [_round(client) for _ in range(ROUNDS)]


def _round(client: socket.socket) -> float:
    """Ask for every machine once, resending what is lost; offers a second."""
    waiting = {one.xid: encode(one) for one in _discovers()}
    unsent = list(waiting)
    addresses: set[IPv4Address] = set()
    began = time.perf_counter()
    for _ in range(IN_FLIGHT):
        client.sendto(waiting[unsent.pop()], ("255.255.255.255", 67))
    while waiting:
        try:
            offer = parse(client.recv(4096))
        except TimeoutError:
            unsent = list(waiting)
            client.sendto(waiting[unsent.pop()], ("255.255.255.255", 67))
            continue
        if waiting.pop(offer.xid, None) is not None:
            addresses.add(offer.yiaddr)
        if unsent:
            client.sendto(waiting.get(unsent[-1], b""), ("255.255.255.255", 67))
            unsent.pop()
    seconds = time.perf_counter() - began
    if len(addresses) != MACHINES:
        raise RuntimeError(f"{MACHINES} machines share {len(addresses)} addresses")
    return MACHINES / seconds


def _client(peer: Peer) -> socket.socket:
    with peer.entered():
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, FAR.encode())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        client.bind(("", 68))
    client.settimeout(0.5)
    return client


def _until_served(client: socket.socket) -> None:
    probe = encode(replace(next(_discovers()), xid=1))
    for _ in range(60):
        client.sendto(probe, ("255.255.255.255", 67))
        try:
            client.recv(4096)
        except TimeoutError:
            continue
        return
    raise RuntimeError("the server did not start")


def _discovers() -> Iterator[Packet]:
    """A DISCOVER as UEFI firmware sends it, from each of the machines."""
    firmware = captured("ovmf-pxe-discover")
    for number in range(MACHINES):
        chaddr = bytes([2, 0, 0, 0]) + number.to_bytes(2, "big")
        yield replace(firmware, chaddr=chaddr, xid=0x10000 + number, flags=BROADCAST_FLAG)


def _policy() -> FixedPolicy:
    allocator = Allocator((SUBNET,), MemoryStore(), taken=frozenset({SERVER}))
    return FixedPolicy(allocator, lambda _: Bootfile("x86_64/snponly.efi"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the server (used by run)")
    if parser.parse_args().serve:
        DhcpServer(NEAR, SERVER, _policy()).run(threading.Event())
        return 0
    print(json.dumps(run(), indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
