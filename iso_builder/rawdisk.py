"""A raw disk image taken apart: its partition table, and a copy of every partition to work on.

The disk itself is only read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.cosi import gpt
from agent.cosi.writer import Region
from agent.linux import e2fs, probe
from agent.linux.probe import Signature
from agent.linux.run import run
from iso_builder.imagefs import ImageFs, reader

_FRONT_BYTES = 8192
_COPY_BYTES = 8 * 1024 * 1024
_TIMEOUT_S = 3600.0
_SUPERBLOCK = 1024
_S_WTIME = 0x30


@dataclass(frozen=True)
class Piece:
    """One partition: its entry, a copy of its content (shrunk, if it could be) and what it is."""

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
    """A raw disk image. `pieces` are in the order of the disk."""

    file: Path
    size: int
    table: gpt.Gpt
    pieces: tuple[Piece, ...]

    @property
    def table_region(self) -> Region:
        """COSI's primary-gpt region."""
        return Region(self.file, 0, self.table.entries_end)


def take_apart(disk: Path, workspace: Path, *, shrink: bool = True) -> RawDisk:
    """Copy every partition of `disk` into `workspace`, ext file systems shrunk to their content.

    Raises corrupt-os-image, read-input-file, command-failed.
    """
    try:
        size = disk.stat().st_size
        table = read_table(disk, size)
    except OSError as error:
        raise _unreadable(disk, error) from error
    pieces = []
    for entry in table.partitions:
        with context(f"reading partition {entry.number} of {disk}"):
            image = workspace / f"partition-{entry.number}.img"
            _copy(disk, table.offset(entry), table.size(entry), image)
            signature = probe.signature(image)
            if shrink and (signature.filesystem or "") in ("ext2", "ext3", "ext4"):
                _shrink(image)
            pieces.append(Piece(entry, image, table.size(entry), signature))
    return RawDisk(disk, size, table, tuple(pieces))


def read_table(disk: Path, size: int) -> gpt.Gpt:
    """The partition table of a raw disk image. Raises corrupt-os-image, OSError."""
    with disk.open("rb") as source:
        front = source.read(_FRONT_BYTES)
        source.seek(0)
        return gpt.parse(source.read(gpt.needed_bytes(front)), size)


def _shrink(image: Path) -> None:
    """Shrink an ext file system to its content, when it covers its whole partition."""
    before = e2fs.superblock(image)
    if not 0 <= image.stat().st_size - before.size_bytes < before.block_bytes:
        return
    # The tools write the time into the superblock; its own keeps the result reproducible.
    time_s = str(_last_write_s(image))
    clock = {"E2FSPROGS_FAKE_TIME": time_s, "E2FSCK_TIME": time_s}
    run(["e2fsck", "-f", "-y", image], ok=(0, 1), env=clock, timeout_s=_TIMEOUT_S)
    run(["resize2fs", "-M", image], env=clock, timeout_s=_TIMEOUT_S)
    os.truncate(image, e2fs.superblock(image).size_bytes)


def _last_write_s(image: Path) -> int:
    """When an ext file system was written last (s_wtime), in seconds since the epoch."""
    with image.open("rb") as source:
        source.seek(_SUPERBLOCK + _S_WTIME)
        return int.from_bytes(source.read(4), "little")


def _copy(disk: Path, offset: int, size: int, target: Path) -> None:
    """Copy a stretch of the disk; its holes stay holes."""
    with disk.open("rb") as source, target.open("wb") as out:
        out.truncate(size)
        at = offset
        while (data := _next_data(source.fileno(), at, offset + size)) is not None:
            start, end = data
            _copy_range(source.fileno(), start, out.fileno(), start - offset, end - start)
            at = end


def _next_data(fd: int, start: int, limit: int) -> tuple[int, int] | None:
    """The next stretch that is no hole, at most up to `limit`."""
    try:
        first = os.lseek(fd, start, os.SEEK_DATA)
    except OSError:  # ENXIO: only a hole is left
        return None
    if first >= limit:
        return None
    return first, min(os.lseek(fd, first, os.SEEK_HOLE), limit)


def _copy_range(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    done = 0
    while data := os.pread(source, min(length - done, _COPY_BYTES), source_at + done):
        os.pwrite(target, data, target_at + done)
        done += len(data)


def _unreadable(disk: Path, error: OSError) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "read-input-file",
        f"{disk} cannot be read: {error.strerror or error}",
        hint="name a raw disk image",
    )
