"""Mutants of valid inputs, and the loop that feeds them to a parser.

Everything follows from the seed number: a finding is replayed by its number. A parser may accept
an input or raise what it declares; anything else, or taking too long, ends the campaign and leaves
the input in a file.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
_WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63)


_HANG_FACTOR = 20
"""Wall clock over processor time: what a loaded machine may take without hanging."""
_ALARMS = (signal.SIGPROF, signal.SIGALRM)


class TooSlow(BaseException):
    """An input took longer than its time limit. No parser can mistake it for its own errors."""


@dataclass(frozen=True)
class Outcome:
    """What a campaign saw. `slowest_s` is the longest time one input took."""

    count: int
    accepted: int
    slowest_s: float
    duration_s: float

    def line(self, name: str) -> str:
        share = 100 * self.accepted / self.count if self.count else 0.0
        return (
            f"{name}: {self.count} inputs, {self.accepted} accepted ({share:.1f} %), "
            f"slowest {1000 * self.slowest_s:.1f} ms, {self.duration_s:.1f} s"
        )


def mutants(seeds: Sequence[bytes], number: int, max_bytes: int) -> Iterator[bytes]:
    """Endless mutants of `seeds`, at most `max_bytes` long; the same for the same `number`."""
    source = random.Random(number)
    while True:
        data = bytearray(source.choice(seeds))
        for _ in range(source.choice((1, 1, 1, 2, 2, 3, 5, 8))):
            change(data, source, seeds)
        yield bytes(data[:max_bytes])


def change(data: bytearray, source: random.Random, seeds: Sequence[bytes]) -> None:
    """Change `data` in one place, in a way that parsers tend to forget."""
    if not data:
        data += source.choice(seeds)[: source.randrange(1, 64)]
        return
    source.choice((_flip, _flip, _byte, _byte, _word, _cut, _repeat, _insert, _end, _splice))(
        data, source, seeds
    )


def _flip(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _byte(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    value = source.choice((*INTERESTING, source.randrange(256)))
    data[source.randrange(len(data))] = value


def _word(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    size = source.choice((2, 4, 8))
    value = source.choice(_WORDS) & ((1 << 8 * size) - 1)
    at = source.randrange(len(data))
    data[at : at + size] = value.to_bytes(size, source.choice(("big", "little")))


def _cut(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    at = source.randrange(len(data))
    del data[at : at + source.choice((1, 2, 4, 16, 512, len(data)))]


def _repeat(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    at = source.randrange(len(data))
    piece = bytes(data[at : at + source.choice((1, 4, 16, 512))])
    data[at:at] = piece * source.choice((1, 1, 2, 16))


def _insert(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    at = source.randrange(len(data) + 1)
    data[at:at] = source.randbytes(source.choice((1, 2, 4, 16, 64)))


def _end(data: bytearray, source: random.Random, _seeds: Sequence[bytes]) -> None:
    del data[source.randrange(len(data)) :]


def _splice(data: bytearray, source: random.Random, seeds: Sequence[bytes]) -> None:
    other = source.choice(seeds)
    if not other:
        return
    at, start = source.randrange(len(data)), source.randrange(len(other))
    piece = other[start : start + source.choice((4, 16, 64, 512, 4096))]
    data[at : at + len(piece)] = piece


def campaign(
    inputs: Iterator[bytes],
    target: Callable[[bytes], bool],
    count: int,
    *,
    limit_s: float,
    keep: Path,
) -> Outcome:
    """Feed `count` inputs to `target`, which tells whether it accepted one.

    An input that makes it raise, or use more than `limit_s` seconds of processor time, or hang
    without using any, is written to `keep` and the exception goes on. Needs: the main thread (it
    uses SIGPROF and SIGALRM).
    """
    accepted, slowest_s, began = 0, 0.0, time.monotonic()
    with _alarm():
        for _ in range(count):
            data = next(inputs)
            started = time.monotonic()
            signal.setitimer(signal.ITIMER_PROF, limit_s)
            signal.setitimer(signal.ITIMER_REAL, limit_s * _HANG_FACTOR)
            try:
                accepted += target(data)
            except BaseException:
                keep.write_bytes(data)
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
            slowest_s = max(slowest_s, time.monotonic() - started)
    return Outcome(count, accepted, slowest_s, time.monotonic() - began)


@contextmanager
def _alarm() -> Iterator[None]:
    def too_slow(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = {number: signal.signal(number, too_slow) for number in _ALARMS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
