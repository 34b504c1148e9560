"""What the build cache holds: its entries, their age and last use, and how they are removed.

An entry is a folder or file `<kind>/<name>`. Its modification time is the age of what is in it;
its last use is the modification time of `<kind>/.<name>.lock`, which builders of it queue for (of
the entry itself where there is none). Whoever uses an entry holds a shared flock(2) on it, so it is
only removed or replaced when nobody does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HIDDEN_BUILD: Final = ".build-"
"""Begins the name of a folder that is still being made; its maker holds a lock on it."""
_GONE: Final = ".gone-"
_ABANDONED_S: Final = 86_400.0


@dataclass(frozen=True)
class Entry:
    """One entry: how old its content is and when it was last used, in seconds since the epoch."""

    path: Path
    made: float
    used: float

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    def size_bytes(self) -> int:
        """What it takes on disk now: the blocks of all its files, each file once."""
        blocks: dict[tuple[int, int], int] = {}
        for one in _walk(self.path):
            with suppress(FileNotFoundError):
                status = one.lstat()
                blocks[status.st_dev, status.st_ino] = status.st_blocks
        return 512 * sum(blocks.values())


@dataclass(frozen=True)
class Pruned:
    """What pruning did. `in_use` would have been removed if nobody had used it."""

    removed: tuple[Entry, ...]
    in_use: tuple[Entry, ...]
    freed_bytes: int


def lock_path(entry: Path) -> Path:
    """The file that builders of an entry queue for, and that remembers its last use."""
    return entry.with_name(f".{entry.name}.lock")


def found(root: Path) -> list[Entry]:
    """Every entry below the caches' folder, the one that was not used for longest first."""
    entries = [_entry(path) for kind in _kinds(root) for path in kind.glob("[!.]*")]
    return sorted((one for one in entries if one is not None), key=lambda one: (one.used, one.name))


def prune(
    root: Path, *, now: float, unused_s: float | None = None, keep_bytes: int | None = None
) -> Pruned:
    """Remove entries not used for `unused_s` seconds, then the longest unused above `keep_bytes`.

    None switches a rule off. Destroys entries, never one in use; and what killed builds left.
    """
    _clear_abandoned(root, now)
    entries = found(root)
    left = sum(entry.size_bytes() for entry in entries) if keep_bytes is not None else 0
    freed = 0
    removed: list[Entry] = []
    in_use: list[Entry] = []
    for entry in entries:
        old = unused_s is not None and now - entry.used >= unused_s
        if not old and (keep_bytes is None or left <= keep_bytes):
            continue
        size = entry.size_bytes()
        if _remove(entry):
            removed.append(entry)
            left -= size
            freed += size
        else:
            in_use.append(entry)
    return Pruned(tuple(removed), tuple(in_use), freed)


def hold(path: Path) -> int | None:
    """A descriptor with a shared lock on an entry, which keeps it from removal; None: no entry.

    Waits while somebody replaces the entry.
    """
    return _flocked(path, fcntl.LOCK_SH)


@contextmanager
def alone_with(path: Path) -> Iterator[bool]:
    """Whether nobody else uses an entry; during the block nobody begins to. False: no entry."""
    try:
        descriptor = _flocked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        descriptor = None
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def building(path: Path) -> Iterator[None]:
    """Be the only one who makes this entry; waits for whoever makes it now."""
    lock = lock_path(path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = None
    while descriptor is None:
        lock.touch()
        descriptor = _flocked(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def replace(fresh: Path, path: Path) -> None:
    """Put a finished entry in place of an old one, or where none is."""
    gone = _set_aside(path) if path.exists() else None
    fresh.rename(path)
    if gone is not None:
        _delete(gone)


def in_use(path: Path) -> bool:
    """Whether somebody uses an entry now."""
    with alone_with(path) as alone:
        return not alone


def _entry(path: Path) -> Entry | None:
    """None when it went away meanwhile."""
    try:
        made = path.lstat().st_mtime
    except FileNotFoundError:
        return None
    try:
        used = lock_path(path).stat().st_mtime
    except FileNotFoundError:
        used = made
    return Entry(path, made, used)


def _kinds(root: Path) -> list[Path]:
    return [path for path in root.glob("[!.]*") if path.is_dir() and not path.is_symlink()]


def _walk(path: Path) -> Iterator[Path]:
    yield path
    for folder, names, files in os.walk(path):
        yield from (Path(folder) / name for name in (*names, *files))


def _remove(entry: Entry) -> bool:
    """Remove an entry unless somebody uses or builds it; True also when it is gone already."""
    with alone_with(entry.path) as alone:
        if not alone:
            return not os.path.lexists(entry.path)
        now_used = _entry(entry.path)
        if now_used is None or now_used.used > entry.used:
            return False
        gone = _set_aside(entry.path)
    _delete(gone)
    with alone_with(lock_path(entry.path)) as nobody_builds:
        if nobody_builds and not os.path.lexists(entry.path):
            lock_path(entry.path).unlink()
    return True


def _set_aside(path: Path) -> Path:
    gone = path.with_name(f"{_GONE}{os.getpid()}-{time.monotonic_ns()}-{path.name}")
    path.rename(gone)
    return gone


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _clear_abandoned(root: Path, now: float) -> None:
    """Remove what builds and removals left that were killed a day ago or longer."""
    for place in (root, *_kinds(root)):
        for path in _hidden(place):
            with suppress(FileNotFoundError), alone_with(path) as alone:
                if alone and now - path.lstat().st_mtime >= _ABANDONED_S:
                    _delete(path)


def _hidden(place: Path) -> Iterable[Path]:
    return [path for path in place.glob(".*") if path.name.startswith((HIDDEN_BUILD, _GONE))]


def _flocked(path: Path, how: int) -> int | None:
    """A descriptor with a lock on what is at `path` now; None when nothing is there.

    What was locked may have been removed or replaced while waiting: then the lock is sought anew.
    Raises BlockingIOError with LOCK_NB.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, how)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
