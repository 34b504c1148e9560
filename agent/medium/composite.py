"""An image with other bytes laid over some of its places, without a copy of it.

Memory stays flat: bytes are read in blocks, whatever the size of the image. Reads only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final

BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Patch:
    """`data` over the `size` bytes at `offset`, filled up with zeros."""

    offset: int
    size: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + self.size

    def part(self, start: int, end: int) -> bytes:
        """The bytes between two offsets of the image, which lie inside."""
        first, last = start - self.offset, end - self.offset
        return self.data[first:last].ljust(last - first, b"\0")


@dataclass(frozen=True)
class Laid:
    """What is laid over an image: patches in the order of their places, none over another."""

    patches: tuple[Patch, ...]

    @classmethod
    def of(cls, parts: Mapping[int, bytes]) -> Laid:
        """From the bytes for each offset."""
        return cls(
            tuple(
                Patch(offset, len(data), data.rstrip(b"\0"))
                for offset, data in sorted(parts.items())
            )
        )

    @cached_property
    def sha384(self) -> str:
        """Names what is laid over: the same patches have the same digest."""
        digest = hashlib.sha384()
        for patch in self.patches:
            digest.update(f"{patch.offset} {patch.size} {len(patch.data)}\n".encode())
            digest.update(patch.data)
        return digest.hexdigest()

    @property
    def first(self) -> int:
        """Where the first patch begins."""
        return self.patches[0].offset if self.patches else 0

    def spares(self, start: int, length: int) -> bool:
        """Whether this stretch is the image's own, byte for byte."""
        return all(patch.end <= start or patch.offset >= start + length for patch in self.patches)


NOTHING_LAID: Final = Laid(())


def blocks(image: int, laid: Laid, start: int, length: int) -> Iterator[bytes]:
    """`length` bytes from `start` on, in blocks. `image` is an open descriptor.

    Raises OSError, also when the image ends before.
    """
    place, end = start, start + length
    for patch in laid.patches:
        if patch.end <= place or patch.offset >= end:
            continue
        yield from _own(image, place, max(place, patch.offset))
        place = max(place, patch.offset)
        yield patch.part(place, min(patch.end, end))
        place = min(patch.end, end)
    yield from _own(image, place, end)


class Beginning:
    """The digest of an image up to a place, to go on from again and again."""

    def __init__(self, image: int, end: int) -> None:
        self.end = end
        self._state = hashlib.sha384()
        for block in _own(image, 0, end):
            self._state.update(block)

    def then(self, rest: Iterator[bytes]) -> str:
        """SHA-384 of the beginning and what follows, in hexadecimal."""
        state = self._state.copy()
        for block in rest:
            state.update(block)
        return state.hexdigest()


def digest(image: int, laid: Laid, size: int, before: Beginning) -> str:
    """SHA-384 of the whole, in hexadecimal. `before` ends before the first patch, or at it.

    Raises OSError.
    """
    return before.then(blocks(image, laid, before.end, size - before.end))


def digests(
    image: int, spans: Sequence[tuple[int, int]], laid: Laid = NOTHING_LAID
) -> tuple[str, list[str]]:
    """SHA-384 of an image and of each of its stretches (offset, end), which leave nothing out.

    Reads the image once; a second thread takes one of the two digests. Raises OSError.
    """
    whole, each = hashlib.sha384(), []
    with ThreadPoolExecutor(1) as second:
        for start, end in spans:
            part = hashlib.sha384()
            under_way: Future[None] | None = None
            for block in blocks(image, laid, start, end - start):
                if under_way is not None:
                    under_way.result()
                under_way = second.submit(part.update, block)
                whole.update(block)
            if under_way is not None:
                under_way.result()
            each.append(part.hexdigest())
    return whole.hexdigest(), each


def _own(image: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        block = os.pread(image, min(BLOCK_BYTES, end - start), start)
        if not block:
            raise OSError(f"the image ends at byte {start}")
        yield block
        start += len(block)
