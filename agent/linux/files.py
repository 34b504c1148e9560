"""Files that survive a power cut: written beside, flushed, renamed, directory flushed.

The `.new` name is left behind only by a crash; the next write of the same file replaces it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePath

_COPY_CHUNK_BYTES = 1 << 20
_SELINUX_LABEL = "security.selinux"


def write(path: Path, data: bytes | str, *, mode: int | None = None) -> None:
    """Replace `path` with `data` so that a reader sees the old file or the whole new one.

    `mode` sets the permission bits exactly (None: as the umask gives; use that on vfat).
    Raises OSError; then `path` is what it was and no temporary file is left.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            _finish(stream.fileno(), mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def copy(source: Path, target: Path, *, mode: int | None = None) -> None:
    """Replace `target` with the content of `source`, as safely as `write`."""
    temporary = target.with_name(target.name + ".new")
    try:
        with source.open("rb") as reader, temporary.open("wb") as stream:
            shutil.copyfileobj(reader, stream, _COPY_CHUNK_BYTES)
            stream.flush()
            _finish(stream.fileno(), mode)
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Flush a directory, so that names created or renamed in it survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inherit_label(path: Path) -> None:
    """Give `path` the SELinux label of its directory, when that has one."""
    try:
        label = os.getxattr(path.parent, _SELINUX_LABEL)
    except OSError:
        return
    os.setxattr(path, _SELINUX_LABEL, label, follow_symlinks=False)


def inside(root: Path, path: PurePath | str) -> Path:
    """`path`, absolute in a target system, below the directory where that system is mounted."""
    return root / str(path).lstrip("/")


def _finish(descriptor: int, mode: int | None) -> None:
    if mode is not None:
        os.fchmod(descriptor, mode)
    os.fsync(descriptor)
