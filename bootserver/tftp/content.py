"""What a transfer sends: file names made safe, and bytes or open files that are read by offset.

Files are read with pread, not mapped: a file that is truncated under a mapping kills the process.
One open descriptor is shared by all transfers of a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Content = bytes | Path
"""Bytes made for this request, or a file that is served as it is."""


def normalize(filename: str) -> str | None:
    """A relative path with single slashes, or None when it must not be served.

    Firmware sends `/x`, `//x` and `\\x`; `..`, empty names and control characters are refused.
    """
    parts = [part for part in filename.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts or not "".join(parts).isprintable():
        return None
    return "/".join(parts)


def under(root: Path, filename: str) -> Path | None:
    """The regular file `filename` inside `root`, links followed; None: absent or outside."""
    name = normalize(filename)
    if name is None:
        return None
    base = root.resolve()
    path = (base / name).resolve()
    return path if path.is_relative_to(base) and path.is_file() else None


class Source(Protocol):
    """Random access to what is sent."""

    @property
    def size(self) -> int: ...

    def read_into(self, parts: Sequence[memoryview], offset: int) -> int:
        """Fill `parts` one after the other from `offset` on; the number of bytes read."""
        ...


@dataclass(frozen=True)
class Memory:
    """Bytes made for one request."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read_into(self, parts: Sequence[memoryview], offset: int) -> int:
        start = offset
        for part in parts:
            piece = self.data[offset : offset + len(part)]
            part[: len(piece)] = piece
            offset += len(piece)
        return offset - start


class OpenFile:
    """A regular file, open for as long as transfers use it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, also for what is not a regular file."""
        self.path = path
        self.users = 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise IsADirectoryError(f"{path} is not a regular file")
        self.size = status.st_size
        self.identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def read_into(self, parts: Sequence[memoryview], offset: int) -> int:
        return os.preadv(self._fd, parts, offset)

    def close(self) -> None:
        os.close(self._fd)


class Files:
    """Open files by path, shared and counted. A replaced file is opened anew."""

    def __init__(self) -> None:
        self._open: dict[Path, OpenFile] = {}

    def acquire(self, path: Path) -> OpenFile:
        """Open `path` or share it. Raises OSError. Needs `release`."""
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        shared = self._open.get(path)
        if shared is None or shared.identity != identity:
            shared = OpenFile(path)
            self._open[path] = shared
        shared.users += 1
        return shared

    def release(self, source: Source) -> None:
        """Close a file when nobody else uses it; other sources hold nothing."""
        if not isinstance(source, OpenFile):
            return
        source.users -= 1
        if source.users == 0:
            source.close()
            if self._open.get(source.path) is source:
                del self._open[source.path]

    def __len__(self) -> int:
        return len(self._open)
