"""A disk taken apart: its partition table, and a copy of every partition to work on.

The disk itself is only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import context
from agent.cosi import gpt
from agent.cosi.writer import Region
from agent.linux import e2fs, probe
from agent.linux.probe import Signature
from iso_builder.cosi.diskfile import DiskFile
from iso_builder.cosi.filesystems import reader
from iso_builder.cosi.imagefs import ImageFs
from iso_builder.cosi.progress import Meter, Silence

EXT = frozenset({"ext2", "ext3", "ext4"})
_FRONT_BYTES = 8192


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
    """A disk of `size` bytes, taken apart. `pieces` are in the order of the disk."""

    size: int
    table: gpt.Gpt
    front: Path
    """The disk up to the end of the table's entries, or further."""
    pieces: tuple[Piece, ...]

    @property
    def table_region(self) -> Region:
        """COSI's primary-gpt region."""
        return Region(self.front, 0, self.table.entries_end)


def take_apart(disk: DiskFile, workspace: Path, meter: Meter | None = None) -> RawDisk:
    """Copy every partition of `disk` into `workspace`.

    Raises corrupt-os-image, read-input-file, command-failed; OSError when there is no room.
    """
    meter = meter or Silence()
    front = workspace / "front.img"
    table = _read_table(disk, front)
    pieces = []
    for entry in table.partitions:
        name = f"partition {entry.number} of {disk.file.name}"
        with context(f"reading {name}"), meter.step("reading", name) as progress:
            image = workspace / f"partition-{entry.number}.img"
            disk.copy(table.offset(entry), table.size(entry), image, progress)
            pieces.append(Piece(entry, image, table.size(entry), probe.signature(image)))
    return RawDisk(disk.size, table, front, tuple(pieces))


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


def _read_table(disk: DiskFile, front: Path) -> gpt.Gpt:
    """The partition table of a disk, whose front is copied to the new file `front`."""
    disk.copy(0, min(_FRONT_BYTES, disk.size), front)
    needed = gpt.needed_bytes(front.read_bytes())
    disk.copy(0, min(-(-needed // _FRONT_BYTES) * _FRONT_BYTES, disk.size), front)
    return gpt.parse(front.read_bytes(), disk.size)
