"""Reads a GUID partition table (UEFI 2.10 section 5) out of bytes. Pure; no I/O.

Strict, because what it accepts decides what is written where: both checksums, the protective MBR,
every bound, and that no two partitions overlap.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

from agent.cosi.tar import corrupt

LBA_SIZES = (512, 4096)
MAX_ENTRIES = 1024
ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX_DATA = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

_SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_PROTECTIVE = 0xEE


@dataclass(frozen=True)
class Partition:
    """One entry. `number` counts from 1; `last_lba` is inclusive."""

    number: int
    type: UUID
    guid: UUID
    first_lba: int
    last_lba: int
    attributes: int
    name: str


@dataclass(frozen=True)
class Gpt:
    """A primary partition table. `partitions` are in the order of their place on the disk."""

    lba_size: int
    disk_guid: UUID
    first_usable_lba: int
    last_usable_lba: int
    alternate_lba: int
    entries_end: int
    """The first byte after the entries: from 0 to here is COSI's primary-gpt region."""
    partitions: tuple[Partition, ...]

    def offset(self, partition: Partition) -> int:
        """Where the partition starts, in bytes."""
        return partition.first_lba * self.lba_size

    def size(self, partition: Partition) -> int:
        """Size of the partition in bytes."""
        return (partition.last_lba - partition.first_lba + 1) * self.lba_size


@dataclass(frozen=True)
class _Header:
    first_usable_lba: int
    last_usable_lba: int
    alternate_lba: int
    disk_guid: UUID
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_crc: int


def parse(data: bytes, disk_size: int) -> Gpt:
    """Read the table from the front of a disk of `disk_size` bytes.

    `data` must reach to the end of the entries. The sector size is found by where the header is.
    Raises corrupt-os-image.
    """
    lba_size = _lba_size(data)
    if disk_size % lba_size:
        raise corrupt(f"the disk's {disk_size} bytes are no multiple of its sectors ({lba_size})")
    _check_protective_mbr(data)
    header = _header(data, lba_size, disk_size // lba_size)
    start = header.entries_lba * lba_size
    end = start + header.entry_count * header.entry_size
    if end > len(data):
        raise corrupt("the partition table is truncated")
    if end > header.first_usable_lba * lba_size:
        raise corrupt("the partition table reaches into the space for partitions")
    if zlib.crc32(data[start:end]) != header.entries_crc:
        raise corrupt("the partition table is damaged: its checksum does not match")
    partitions = tuple(sorted(_entries(data, start, header), key=lambda entry: entry.first_lba))
    _check_places(partitions, header)
    return Gpt(
        lba_size=lba_size,
        disk_guid=header.disk_guid,
        first_usable_lba=header.first_usable_lba,
        last_usable_lba=header.last_usable_lba,
        alternate_lba=header.alternate_lba,
        entries_end=end,
        partitions=partitions,
    )


def backup(front: bytes, table: Gpt) -> tuple[int, bytes]:
    """The backup table that belongs to a primary one: where on the disk it is, and its bytes.

    `front` is the disk up to the end of the entries, `table` what `parse` made of it. The entries
    come first, then the header, which is the last sector (UEFI 2.10 section 5.3.2).
    """
    size = table.lba_size
    fields = list(_HEADER.unpack_from(front, size))
    start = fields[10] * size
    entries = front[start : table.entries_end]
    sectors = -(-len(entries) // size)
    fields[3], fields[5], fields[6] = 0, table.alternate_lba, 1
    fields[10] = table.alternate_lba - sectors
    if fields[10] <= table.last_usable_lba:
        raise corrupt("the partition table leaves no room for its backup")
    header = bytearray(front[size : size + fields[2]])
    _HEADER.pack_into(header, 0, *fields)
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    padded = entries + bytes(sectors * size - len(entries))
    return fields[10] * size, padded + header + bytes(size - len(header))


def needed_bytes(front: bytes) -> int:
    """How many bytes from the start of the disk `parse` needs, by its first 8 KiB.

    Raises corrupt-os-image.
    """
    lba_size = _lba_size(front)
    fields = _HEADER.unpack_from(front, lba_size)
    entries_lba, count, size = fields[10], fields[11], fields[12]
    if count > MAX_ENTRIES or size > 4096 or entries_lba > 2048:
        raise corrupt("the partition table claims an absurd size")
    return int(entries_lba * lba_size + count * size)


def _lba_size(data: bytes) -> int:
    for size in LBA_SIZES:
        if data[size : size + 8] == _SIGNATURE and len(data) >= size + _HEADER.size:
            return size
    raise corrupt("there is no GUID partition table")


def _check_protective_mbr(data: bytes) -> None:
    types = [data[446 + 16 * index + 4] for index in range(4)]
    if data[510:512] != b"\x55\xaa" or _PROTECTIVE not in types:
        raise corrupt("the protective MBR of the partition table is missing")


def _header(data: bytes, lba_size: int, disk_lbas: int) -> _Header:
    fields = _HEADER.unpack_from(data, lba_size)
    _, revision, size, crc, _, my_lba, alternate, first, last, guid = fields[:10]
    entries_lba, count, entry_size, entries_crc = fields[10:]
    if revision >> 16 != 1 or not _HEADER.size <= size <= lba_size or my_lba != 1:
        raise corrupt("the partition table has a header of an unknown form")
    raw = bytearray(data[lba_size : lba_size + size])
    raw[16:20] = bytes(4)
    if zlib.crc32(raw) != crc:
        raise corrupt("the header of the partition table is damaged: checksum mismatch")
    if entry_size < 128 or entry_size & (entry_size - 1) or entry_size > 4096:
        raise corrupt(f"the partition table has entries of {entry_size} bytes")
    if not 1 <= count <= MAX_ENTRIES:
        raise corrupt(f"the partition table has {count} entries")
    if not 2 <= entries_lba < first <= last < disk_lbas or not last < alternate < disk_lbas:
        raise corrupt("the partition table does not fit its disk")
    return _Header(
        first, last, alternate, UUID(bytes_le=guid), entries_lba, count, entry_size, entries_crc
    )


def _entries(data: bytes, start: int, header: _Header) -> list[Partition]:
    found = []
    for index in range(header.entry_count):
        kind, guid, first, last, attributes, name = _ENTRY.unpack_from(
            data, start + index * header.entry_size
        )
        if not any(kind):
            continue
        text = name.decode("utf-16-le", "replace").partition("\0")[0]
        found.append(
            Partition(
                index + 1, UUID(bytes_le=kind), UUID(bytes_le=guid), first, last, attributes, text
            )
        )
    return found


def _check_places(partitions: tuple[Partition, ...], header: _Header) -> None:
    free_from = header.first_usable_lba
    for entry in partitions:
        if not entry.first_lba <= entry.last_lba <= header.last_usable_lba:
            raise corrupt(f"partition {entry.number} does not fit the disk")
        if entry.first_lba < free_from:
            raise corrupt(f"partition {entry.number} overlaps the one before it")
        free_from = entry.last_lba + 1
    if len({entry.guid for entry in partitions}) != len(partitions):
        raise corrupt("two partitions have the same GUID")
