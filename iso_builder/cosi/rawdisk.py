"""A disk taken apart: its partition table, and a copy of every partition to work on.

The disk itself is only read. Holes stay holes.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import context
from agent.cosi import gpt
from agent.cosi.writer import Region
from agent.linux import e2fs, probe
from agent.linux.probe import Signature
from iso_builder.cosi.diskfile import DiskFile, unreadable
from iso_builder.cosi.filesystems import reader
from iso_builder.cosi.imagefs import ImageFs
from iso_builder.cosi.progress import Meter, Report, Silence

EXT = frozenset({"ext2", "ext3", "ext4"})
_FRONT_BYTES = 8192
_COPY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Piece:
    """One partition: its entry, a copy of its content and what it is."""

    entry: gpt.Partition
    image: Path
    partition_bytes: int
    signature: Signature

    @property
    def files(self) -> ImageFs | None:
        """A reader of its file system, None when nothing can read it."""
        return reader(self.image, self.signature.filesystem or "")

    @property
    def region(self) -> Region:
        return Region(self.image, 0, self.image.stat().st_size)


@dataclass(frozen=True)
class RawDisk:
    """A disk taken apart. `pieces` are in the order of the disk."""

    disk: DiskFile
    table: gpt.Gpt
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        return self.disk.size

    @property
    def table_region(self) -> Region:
        """COSI's primary-gpt region."""
        return Region(self.disk.file, 0, self.table.entries_end)


def take_apart(disk: DiskFile, workspace: Path, meter: Meter | None = None) -> RawDisk:
    """Copy every partition of `disk` into `workspace`.

    Raises corrupt-os-image, read-input-file, command-failed; OSError when there is no room.
    """
    meter = meter or Silence()
    table = read_table(disk)
    pieces = []
    for entry in table.partitions:
        name = f"partition {entry.number} of {disk.file.name}"
        with context(f"reading {name}"), meter.step("reading", name) as progress:
            image = workspace / f"partition-{entry.number}.img"
            _copy(disk.file, table.offset(entry), table.size(entry), image, progress)
            pieces.append(Piece(entry, image, table.size(entry), probe.signature(image)))
    return RawDisk(disk, table, tuple(pieces))


def read_table(disk: DiskFile) -> gpt.Gpt:
    """The partition table of a disk. Raises corrupt-os-image, read-input-file."""
    try:
        with disk.file.open("rb") as source:
            front = source.read(_FRONT_BYTES)
            source.seek(0)
            front = source.read(gpt.needed_bytes(front))
    except OSError as error:
        raise unreadable(disk.file, error) from error
    return gpt.parse(front, disk.size)


def shrink(piece: Piece) -> bool:
    """Shrink the copy of an ext file system to its content, when it covers its whole partition.

    Whatever else a partition may hold behind its file system stays. True when the file system had
    to be repaired first. Raises command-failed.
    """
    if (piece.signature.filesystem or "") not in EXT:
        return False
    before = e2fs.superblock(piece.image)
    if 0 <= piece.partition_bytes - before.size_bytes < before.block_bytes:
        with context(f"shrinking partition {piece.entry.number}"):
            return e2fs.shrink(piece.image)
    return False


def _copy(disk: Path, offset: int, size: int, target: Path, progress: Report) -> None:
    """Copy a stretch of the disk; its holes stay holes."""
    with disk.open("rb") as source, target.open("wb") as out:
        out.truncate(size)
        at = offset
        while (data := _next_data(source.fileno(), at, offset + size)) is not None:
            start, end = data
            for place in range(start, end, _COPY_BYTES):
                length = min(end - place, _COPY_BYTES)
                content = _read(disk, source.fileno(), place, length)
                out.seek(place - offset)
                out.write(content)
                progress(place + length - offset, size)
            at = end
    progress(size, size)


def _next_data(fd: int, start: int, limit: int) -> tuple[int, int] | None:
    """The next stretch that is no hole, at most up to `limit`."""
    try:
        first = os.lseek(fd, start, os.SEEK_DATA)
    except OSError:  # ENXIO: only a hole is left
        return None
    if first >= limit:
        return None
    return first, min(os.lseek(fd, first, os.SEEK_HOLE), limit)


def _read(disk: Path, fd: int, at: int, length: int) -> bytes:
    """Exactly these bytes of the disk. Raises read-input-file."""
    try:
        data = os.pread(fd, length, at)
    except OSError as error:
        raise unreadable(disk, error) from error
    if len(data) < length:
        raise unreadable(disk, OSError(errno.EIO, f"it ends at byte {at + len(data)}"))
    return data
