"""Fuzzes DHCP: mutants of real and crafted requests through codec and decisions.

`python -m tests.fuzz.fuzz_dhcp --count 100000`: no exception but PacketError, no hang; what parses
is answered in both modes and survives round trips. Prints accepted share and line coverage.
"""

from __future__ import annotations

import argparse
from ipaddress import IPv4Address
from pathlib import Path

from bootserver.boot.machine import Answer, Bootfile, BootUrl, Machine
from bootserver.dhcp import options, packet, request
from bootserver.dhcp.exchange import PROXY_PORT, SERVER_PORT, Outgoing
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import Packet, PacketError, encode, parse
from bootserver.dhcp.reply import reply
from bootserver.leases import Allocator
from tests.fuzz.lines import Lines, measured
from tests.fuzz.mutate import Outcome, campaign, mutants
from tests.kit.dhcp import DATA, SERVER, SUBNET, FixedPolicy, MemoryStore, arrival, message

LARGEST = 4096
SMALLEST = 548
LIMIT_S = 1.0
NEEDED_COVERAGE = 0.9


def seeds() -> list[bytes]:
    """The captured requests, and crafted ones for what no captured client does."""
    long = {Code.VENDOR_SPECIFIC: bytes(range(256)) * 2, Code.USER_CLASS: b"\x05other\x04iPXE"}
    relayed = {Code.RELAY_AGENT: bytes([1, 4, 9, 9, 9, 9, 5, 4]) + SERVER.packed}
    wanted = {Code.REQUESTED_ADDRESS: bytes([10, 77, 0, 100])}
    crafted = [
        message(MessageType.DISCOVER, options=long),
        message(MessageType.DISCOVER, options=relayed, giaddr=SERVER),
        message(MessageType.REQUEST, options=wanted),
        message(MessageType.DECLINE, options=wanted),
        message(MessageType.RELEASE, ciaddr=IPv4Address("10.77.0.100")),
        message(MessageType.INFORM, ciaddr=IPv4Address("10.77.0.100")),
    ]
    many = {number: bytes([number]) * 40 for number in range(224, 232)}
    overloaded = encode(Packet(op=1, xid=1, chaddr=bytes(6), options={53: b"\x01", **many}), 460)
    captured = [path.read_bytes() for path in sorted(DATA.glob("*.bin"))]
    return [*captured, *map(encode, crafted), overloaded]


class Target:
    """Feeds one input to everything that sees a request before any trust in it."""

    def __init__(self) -> None:
        self._time = 0.0
        self._server = FixedPolicy(Allocator((SUBNET,), MemoryStore()), _decide)
        self._proxy = FixedPolicy(None, _decide)

    def __call__(self, data: bytes) -> bool:
        """Whether the input was taken for a DHCP message."""
        try:
            request = parse(data)
        except PacketError:
            return False
        assert parse(encode(request)) == request
        self._squeeze(request)
        self._time += 1
        for policy in (self._server, self._proxy):
            for port in (SERVER_PORT, PROXY_PORT):
                outcome = reply(request, arrival(port, time=self._time), policy)
                if isinstance(outcome, Outgoing):
                    parse(outcome.payload)
        return True

    def _squeeze(self, request: Packet) -> None:
        """The smallest message a client may ask for: options overflow, or don't fit at all."""
        try:
            small = encode(request, SMALLEST)
        except PacketError:
            return
        assert len(small) <= SMALLEST
        assert parse(small) == request


def _decide(machine: Machine) -> Answer:
    wants_url = machine.is_ipxe or machine.vendor_class.startswith("HTTP")
    return BootUrl("http://10.77.0.1:8080/x") if wants_url else Bootfile("x")


def run(count: int, number: int, keep: Path) -> tuple[Outcome, Lines]:
    """Run a campaign of `count` inputs that follow from the seed `number`."""
    inputs = mutants(seeds(), number, LARGEST)
    with measured(packet, options, request) as lines:
        outcome = campaign(inputs, Target(), count, limit_s=LIMIT_S, keep=keep)
    return outcome, lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-dhcp.bin"))
    arguments = parser.parse_args()
    outcome, lines = run(arguments.count, arguments.seed, arguments.keep)
    print(outcome.line("dhcp"))
    print(f"dhcp: {lines.line()}")
    return 0 if lines.share >= NEEDED_COVERAGE else 1


if __name__ == "__main__":
    raise SystemExit(main())
