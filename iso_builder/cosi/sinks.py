"""Where images are poured: their front into memory, or a place on a disk file."""

from __future__ import annotations

import os
from pathlib import Path

from agent.api.errors import Kind, TridentError

_BLOCK = bytes(64 * 1024)


class FrontSink:
    """Keeps the first `size_bytes` and lets the rest go."""

    direct = False

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self.content = bytearray()

    def write(self, offset: int, data: memoryview) -> None:
        if offset < self._size:
            self.content += data[: self._size - offset]

    def sync(self) -> None:
        """Nothing to do."""


class SparseSink:
    """A stretch of a file that is all holes so far: zeroes are left out."""

    direct = False

    def __init__(self, file: Path, descriptor: int, start: int, limit: int) -> None:
        """`limit` is the size of the stretch in bytes."""
        self._file = file
        self._descriptor = descriptor
        self._start = start
        self._limit = limit

    def write(self, offset: int, data: memoryview) -> None:
        if offset + len(data) > self._limit:
            raise TridentError(
                Kind.INVALID_INPUT,
                "corrupt-os-image",
                f"an image is larger than its partition of {self._limit} bytes",
                hint="rebuild the image; check it with 'trident-iso cosi verify'",
            )
        for at in range(0, len(data), len(_BLOCK)):
            block = data[at : at + len(_BLOCK)]
            if bytes(block) != _BLOCK[: len(block)]:
                self._write_all(self._start + offset + at, block)

    def sync(self) -> None:
        """The whole file is synced once, by whoever made it."""

    def _write_all(self, at: int, data: memoryview) -> None:
        while data:
            try:
                count = os.pwrite(self._descriptor, data, at)
            except OSError as error:
                raise TridentError(
                    Kind.INVALID_INPUT,
                    "write-output-file",
                    f"{self._file} could not be written: {error.strerror or error}",
                    hint="name a place that is writable and has room for the disk",
                ) from error
            data, at = data[count:], at + count
