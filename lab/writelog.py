"""The log that QEMU's `blklogwrites` keeps of a disk: every write, in order, and every flush.

Format: that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst):
a super block, then entries of one sector each, a write's data behind its entry; little endian.
What a power cut leaves at the least is what was written up to the last flush.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lab.errors import LabError

FLUSH, FUA, DISCARD = 1, 2, 4
_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_UNIT = 512
"""Sectors of entries are counted in 512 bytes, whatever the log's own sector size."""
_CHUNK = 4 << 20
_PUNCH_HOLE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Entry:
    """One entry: offset and size on the disk in bytes, and where the log holds its data."""

    start: int
    size: int
    flags: int
    data_at: int
    end: int
    """Size of the log up to and with this entry."""

    @property
    def is_boundary(self) -> bool:
        """Whether all that stands before it, and it, is on the medium once it is done."""
        return bool(self.flags & (FLUSH | FUA))


def read(path: Path) -> list[Entry]:
    """All whole entries of a log. Raises LabError for a file that is no log."""
    with path.open("rb") as log:
        head = log.read(_SUPER.size)
        if len(head) < _SUPER.size or _SUPER.unpack(head)[:2] != (_MAGIC, 1):
            raise LabError(f"{path} is no log of writes")
        sector = _SUPER.unpack(head)[3]
        return list(_entries(log.fileno(), sector, os.fstat(log.fileno()).st_size))


def _entries(log: int, sector: int, length: int) -> Iterator[Entry]:
    at = sector
    while at + sector <= length:
        start, count, flags, _ = _ENTRY.unpack(os.pread(log, _ENTRY.size, at))
        if not (start or count or flags):  # the log ends: an entry is written behind its data
            return
        data_at, size = at + sector, count * _UNIT
        at = data_at + (0 if flags & DISCARD else -(-size // sector) * sector)
        if at > length:
            return
        yield Entry(start * _UNIT, size, flags, data_at, at)


def spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spread, the first and the last among them."""
    if len(items) <= count or count == 0:
        return list(items)[:count]
    step = (len(items) - 1) / max(count - 1, 1)
    return [items[round(number * step)] for number in range(count)]


class Replay:
    """A raw disk image that is taken from one entry of a log to the next. A context manager."""

    def __init__(self, log: Path, entries: Sequence[Entry], image: Path) -> None:
        self._entries = entries
        self._next = 0
        self._log = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        self._image = os.open(image, os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._log)
        os.close(self._image)

    def up_to(self, index: int) -> list[Entry]:
        """Apply everything up to the entry `index` and with it; returns what was applied."""
        applied = list(self._entries[self._next : index + 1])
        for entry in applied:
            self._apply(entry)
        self._next = max(self._next, index + 1)
        return applied

    def _apply(self, entry: Entry) -> None:
        if entry.flags & DISCARD:
            _punch(self._image, entry.start, entry.size)
            return
        for done in range(0, entry.size, _CHUNK):
            size = min(_CHUNK, entry.size - done)
            os.pwrite(
                self._image, os.pread(self._log, size, entry.data_at + done), entry.start + done
            )


def _punch(file: int, start: int, size: int) -> None:
    """Make a range of a file read as zeros without taking room."""
    offset, length = ctypes.c_int64(start), ctypes.c_int64(size)
    if _LIBC.fallocate64(file, _PUNCH_HOLE, offset, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
