"""Files that survive a power cut: written beside, flushed, renamed, directory flushed.

The `.new` name is left behind only by a crash; the next write of the same file replaces it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from agent.linux.run import TRACE

_COPY_CHUNK_BYTES = 1 << 20
_SELINUX_LABEL = "security.selinux"

log = logging.getLogger(__name__)


def write(path: Path, data: bytes | str, *, mode: int | None = None) -> None:
    """Replace `path` with `data` so that a reader sees the old file or the whole new one.

    `mode` sets the permission bits exactly (None: as the umask gives; use that on vfat).
    Raises OSError; then `path` is what it was and no temporary file is left.
    """
    content = data.encode() if isinstance(data, str) else data
    with replacing(path, mode=mode) as stream:
        stream.write(content)


def copy(source: Path, target: Path, *, mode: int | None = None) -> None:
    """Replace `target` with the content of `source`, as safely as `write`."""
    with source.open("rb") as reader, replacing(target, mode=mode) as stream:
        shutil.copyfileobj(reader, stream, _COPY_CHUNK_BYTES)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A stream whose content replaces `path` at the end of the block, as safely as `write`.

    An exception in the block leaves `path` what it was. Nobody but the owner can read what has a
    `mode` before it has that.
    """
    temporary = path.with_name(path.name + ".new")
    log.log(TRACE, "writing %s", path)
    try:
        with open(temporary, "wb", opener=None if mode is None else _private) as stream:
            yield stream
            stream.flush()
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    sync_directory(path.parent)


def rename(source: Path, target: Path) -> None:
    """Give `source` the name `target`, replacing that. The directory is not flushed."""
    log.log(TRACE, "renaming to %s", target)
    source.replace(target)


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


def _private(path: str, flags: int) -> int:
    """Open a fresh file that only the owner may read."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
