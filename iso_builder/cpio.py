"""Writer of initramfs archives: cpio "newc".

Specification: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
Reproducible: entries are sorted by the caller, times are zero, owners are root. No I/O.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One archive member: `name` without a leading slash, full `mode` with its file type."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | mode, data)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    return Entry(name, stat.S_IFCHR | mode, device=(major, minor))


def encode(entries: Iterable[Entry]) -> bytes:
    """The whole archive, trailer included, padded to 512 bytes."""
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        _append(out, entry, inode)
    _append(out, Entry(_TRAILER, 0), 0)
    out += bytes(-len(out) % 512)
    return bytes(out)


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted, with a folder added for every parent that is missing."""
    by_name: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.name.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            by_name.setdefault(parent, folder(parent))
        by_name[entry.name] = entry
    return [by_name[name] for name in sorted(by_name)]


def _append(out: bytearray, entry: Entry, inode: int) -> None:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, major, minor)
    header = _MAGIC + b"".join(b"%08X" % value for value in (*fields, len(name), 0))
    out += header + name
    out += bytes(-len(out) % 4)
    out += entry.data
    out += bytes(-len(out) % 4)
