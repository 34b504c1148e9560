"""Fuzzes TFTP: mutants of packets through the codec, file names, option negotiation and a transfer.

`python -m tests.fuzz.fuzz_tftp --count 100000`: no exception but PacketError, no hang; what parses
survives a round trip. Prints the accepted share and the codec's line coverage.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bootserver.tftp import content, packet, transfer
from bootserver.tftp.packet import (
    Ack,
    Data,
    Error,
    OptionAck,
    Packet,
    PacketError,
    Request,
    encode,
    parse,
)
from bootserver.tftp.transfer import Done, Transfer, negotiate
from tests.fuzz.lines import Lines, measured
from tests.fuzz.mutate import Outcome, campaign, mutants

LARGEST = 2048
LIMIT_S = 1.0
NEEDED_COVERAGE = 0.9
SIZE = 100_000
_ALL_OPTIONS = {"tsize": "0", "blksize": "1468", "timeout": "3", "windowsize": "32"}

SEEDS: tuple[Packet, ...] = (
    Request("x86_64/snponly.efi", "octet", {"tsize": "0"}),
    Request("x86_64/snponly.efi", "octet", {"tsize": "0", "blksize": "1468", "windowsize": "4"}),
    Request("//grubx64.efi", "octet", {"blksize": "512", "tsize": "0"}),
    Request("/grub/grub.cfg", "octet", {"blksize": "1024", "tsize": "0"}),
    Request("\\boot\\..\\x", "netascii", _ALL_OPTIONS),
    Request("upload", "octet", {"tsize": "100"}, write=True),
    Data(1, bytes(range(64))),
    Ack(0),
    Ack(1),
    Ack(65535),
    Error(8, "User aborted"),
    OptionAck(_ALL_OPTIONS),
)


class Target:
    """Feeds one input to the codec, and what it means to the pure parts behind it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._renew({"windowsize": "32", "blksize": "512"})

    def __call__(self, data: bytes) -> bool:
        """Whether the input was taken for a TFTP packet."""
        try:
            found = parse(data)
        except PacketError:
            return False
        assert parse(encode(found)) == found
        self._now += 0.01
        match found:
            case Request():
                content.normalize(found.filename)
                self._renew(dict(found.options))
            case Ack(block):
                if isinstance(self._transfer.ack(block, self._now), Done):
                    self._renew({})
            case _:
                self._transfer.expired(self._now)
        return True

    def _renew(self, options: dict[str, str]) -> None:
        terms = negotiate(options, SIZE, 1500, 65464, 64)
        assert 8 <= terms.block_size <= 1468
        assert 1 <= terms.window_size <= 64
        self._transfer = Transfer(SIZE, terms, self._now)
        self._transfer.start(self._now)


def run(count: int, number: int, keep: Path) -> tuple[Outcome, Lines]:
    """Run a campaign of `count` inputs that follow from the seed `number`."""
    inputs = mutants([encode(one) for one in SEEDS], number, LARGEST)
    with measured(packet, transfer) as lines:
        outcome = campaign(inputs, Target(), count, limit_s=LIMIT_S, keep=keep)
    return outcome, lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-tftp.bin"))
    arguments = parser.parse_args()
    outcome, lines = run(arguments.count, arguments.seed, arguments.keep)
    print(outcome.line("tftp"))
    print(f"tftp: {lines.line()}")
    return 0 if lines.share >= NEEDED_COVERAGE else 1


if __name__ == "__main__":
    raise SystemExit(main())
