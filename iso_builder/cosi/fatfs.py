"""Reads FAT12/16/32 images (Microsoft's FAT specification 1.03, long names). Names have no case.

Every number is bounded: a damaged image ends in an error, never in a loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from iso_builder.cosi.imagefs import Folder, Node, bounded, corrupt

_BOOT = struct.Struct("<11xHBHBHHxHHHII")
_ENTRY = struct.Struct("<8s3sBB7xH4xHI")
_ENTRY_BYTES = 32
_VOLUME, _DIRECTORY, _LONG_NAME = 0x08, 0x10, 0x0F
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_DELETED, _END = 0xE5, 0x00
_MAX_FOLDER_BYTES = 65536 * _ENTRY_BYTES


@dataclass(frozen=True)
class _Geometry:
    """Where things are, in bytes."""

    bits: int
    """Of an entry of the allocation table: 12, 16 or 32."""
    cluster_bytes: int
    table: int
    root: int
    root_bytes: int
    """0: the root directory is a chain of clusters that begins at `root`."""
    data: int
    clusters: int


@dataclass(frozen=True)
class _Entry:
    name: str
    is_folder: bool
    cluster: int
    size: int


class FatFs:
    """A FAT image."""

    def __init__(self, image: Path) -> None:
        self.image = image
        with image.open("rb") as source:
            self._geometry = _geometry(source.read(512))

    def look(self, path: str) -> Node | None:
        entry = self._entry(path)
        if entry is None:
            return None
        if entry.is_folder:
            return Folder()
        file = bounded(entry.size, self._stretches(entry.cluster))
        if any(extent.offset is None for extent in file.extents):
            raise corrupt(f"{path} of the FAT file system is shorter than its size")
        return file

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(item.name for item in self._list(folder) if not item.is_folder))

    def folders(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(item.name for item in self._list(folder) if item.is_folder))

    def _list(self, folder: str) -> list[_Entry]:
        entry = self._entry(folder)
        return self._folder(entry) if entry is not None and entry.is_folder else []

    def _entry(self, path: str) -> _Entry | None:
        current = _Entry("", True, 0, 0)
        for part in PurePosixPath(path).parts[1:]:
            if not current.is_folder:
                return None
            wanted = part.lower()
            found = (item for item in self._folder(current) if item.name.lower() == wanted)
            following = next(found, None)
            if following is None:
                return None
            current = following
        return current

    def _folder(self, folder: _Entry) -> list[_Entry]:
        geometry = self._geometry
        with self.image.open("rb") as source:
            if folder.cluster == 0 and geometry.root_bytes:
                source.seek(geometry.root)
                return list(_entries(source.read(geometry.root_bytes)))
            data = b""
            for _, offset, length in self._stretches(folder.cluster or geometry.root):
                source.seek(offset)
                data += source.read(length)
                if len(data) > _MAX_FOLDER_BYTES:
                    raise corrupt("a directory of the FAT file system is absurdly large")
        return list(_entries(data))

    def _stretches(self, first: int) -> Iterator[tuple[int, int, int]]:
        geometry = self._geometry
        with self.image.open("rb") as table:
            cluster = first
            for index in range(geometry.clusters + 1):
                if cluster < 2:
                    return
                if cluster >= geometry.clusters + 2:
                    if _is_end(cluster, geometry.bits):
                        return
                    raise corrupt("a chain of clusters of the FAT file system leaves the disk")
                place = geometry.data + (cluster - 2) * geometry.cluster_bytes
                yield index * geometry.cluster_bytes, place, geometry.cluster_bytes
                table.seek(geometry.table + cluster * geometry.bits // 8)
                raw = int.from_bytes(table.read(4), "little")
                cluster = _next(raw, cluster, geometry.bits)
        raise corrupt("a chain of clusters of the FAT file system is a circle")


def _geometry(boot: bytes) -> _Geometry:
    if len(boot) < 512:
        raise corrupt("the FAT file system has no boot sector")
    sector, per_cluster, reserved, tables, roots, small, per_table16, _, _, _, large = (
        _BOOT.unpack_from(boot)
    )
    per_table = per_table16 or int.from_bytes(boot[36:40], "little")
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not tables or not per_table:
        raise corrupt("the boot sector of the FAT file system is damaged")
    root_at = (reserved + tables * per_table) * sector
    root_bytes = roots * _ENTRY_BYTES
    data = root_at + -(-root_bytes // sector) * sector
    clusters = ((small or large) * sector - data) // (per_cluster * sector)
    if clusters < 1:
        raise corrupt("the boot sector of the FAT file system is damaged")
    bits = 12 if clusters < 4085 else 16 if clusters < 65525 else 32
    if not per_table16:
        bits, root_at, root_bytes = 32, int.from_bytes(boot[44:48], "little"), 0
    return _Geometry(
        bits, per_cluster * sector, reserved * sector, root_at, root_bytes, data, clusters
    )


def _next(raw: int, cluster: int, bits: int) -> int:
    if bits == 12:
        return (raw >> 4 if cluster & 1 else raw) & 0xFFF
    return raw & (0xFFFF if bits == 16 else 0x0FFFFFFF)


def _is_end(cluster: int, bits: int) -> bool:
    return cluster >= {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[bits]


def _entries(data: bytes) -> Iterator[_Entry]:
    long_name = ""
    for at in range(0, len(data) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        raw = data[at : at + _ENTRY_BYTES]
        if raw[0] == _END:
            return
        base, extension, attributes, case, high, low, size = _ENTRY.unpack(raw)
        if raw[0] == _DELETED:
            long_name = ""
        elif attributes & 0x3F == _LONG_NAME:
            long_name = _long_part(raw) + ("" if raw[0] & 0x40 else long_name)
        else:
            name = long_name or _short_name(base, extension, case)
            long_name = ""
            if not attributes & _VOLUME and name not in (".", ".."):
                yield _Entry(name, bool(attributes & _DIRECTORY), high << 16 | low, size)


def _long_part(raw: bytes) -> str:
    text = (raw[1:11] + raw[14:26] + raw[28:32]).decode("utf-16-le", "replace")
    return text.partition("\0")[0]


def _short_name(base: bytes, extension: bytes, case: int) -> str:
    name = base.decode("cp437").rstrip()
    suffix = extension.decode("cp437").rstrip()
    name = name.lower() if case & _LOWER_BASE else name
    suffix = suffix.lower() if case & _LOWER_EXTENSION else suffix
    return f"{name}.{suffix}" if suffix else name
