"""Build cache: `${XDG_CACHE_HOME:-~/.cache}/trident-appliance/<kind>/<key>/`.

A key is the hash of all inputs of what is kept; a directory is complete when it was renamed into
place, so a reader never sees half of one. One builder a key at a time (advisory lock).

What comes out of a Debian archive changes while its key does not: such an entry has an age, that of
the oldest packages in it, and is made anew under its old key when it is too old. Within one process
an entry never changes and never goes. Entries that nobody used for long are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.api.errors import TridentError
from iso_builder import entries

KEY_LENGTH = 24
UNUSED_S: Final = 14 * 86_400.0
"""An entry that nobody used for so long is removed."""
_IGNORED = {"__pycache__"}
_LOG = logging.getLogger(__name__)

Build = Callable[[Path], None]


@dataclass
class _Making:
    """An entry being built. `ages` are those of the entries that go into it."""

    anew: bool
    ages: list[float] = field(default_factory=list)


_making: ContextVar[_Making | None] = ContextVar("making", default=None)
_held: Final[dict[Path, int]] = {}
"""Entries this process uses, with the descriptors whose locks keep them until it ends."""
_tidied: Final[set[Path]] = set()


_apart: ContextVar[Path | None] = ContextVar("apart", default=None)


@contextmanager
def apart() -> Iterator[None]:
    """During the block nothing is taken from the caches and nothing is kept."""
    with scratch() as place:
        token = _apart.set(place / "trident-appliance")
        try:
            yield
        finally:
            _apart.reset(token)


def root() -> Path:
    """The folder of all caches; not created."""
    place = _apart.get()
    if place is not None:
        return place
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "trident-appliance"


def key(inputs: Mapping[str, object]) -> str:
    """The name of what these JSON-able inputs produce: the same inputs in any order, one key."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256 over relative names, executable bits and contents of files and folders.

    Byte code folders are left out. The order of `paths` does not matter, their names do.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        for file in sorted(_files(path)):
            name = file.relative_to(path.parent).as_posix()
            data = file.read_bytes()
            executable = os.access(file, os.X_OK)
            digest.update(f"{len(name)} {name} {executable:d} {len(data)}\n".encode())
            digest.update(data)
    return digest.hexdigest()


def obtain(kind: str, name: str, build: Build, *, fresh_s: float | None = None) -> Path:
    """The directory `<kind>/<name>`, built by `build(empty directory)` if it is not there yet.

    One older than `fresh_s` seconds is built anew, unless another process uses it now; when that
    fails the old one is used, with a warning. A build that raises leaves nothing behind. The entry
    stays for as long as this process lives.
    """
    final = root() / kind / name
    if final not in _held:
        if fresh_s is not None and _is_stale(final, fresh_s):
            _renew(final, build, fresh_s)
        _held[final] = _hold_or_build(final, build)
        with suppress(OSError):  # a cache that can only be read is of use too
            entries.lock_path(final).touch()
        if _making.get() is None:
            _tidy()
    outer = _making.get()
    if outer is not None and fresh_s is not None:
        outer.ages.append(final.stat().st_mtime)
    return final


def _hold_or_build(final: Path, build: Build) -> int:
    while (descriptor := entries.hold(final)) is None:
        with entries.building(final):
            if not final.exists():
                _make(final, build, anew=False)
    return descriptor


def _renew(final: Path, build: Build, fresh_s: float) -> None:
    """Build a stale entry anew. A failure is only told, for the old entry is still there.

    An entry around this one that is itself only renewed fails with it, and stays as it is too.
    """
    with entries.building(final), entries.alone_with(final) as alone:
        if not alone or not _is_stale(final, fresh_s):
            return
        try:
            _make(final, build, anew=True)
        except TridentError as error:
            outer = _making.get()
            if outer is not None and outer.anew:
                raise
            days = (time.time() - final.stat().st_mtime) / 86_400
            _LOG.warning(
                "%s/%s is %d days old and cannot be made anew now: %s",
                *(final.parent.name, final.name, days, error.one_line()),
            )


def _make(final: Path, build: Build, *, anew: bool) -> None:
    """Build an entry and put it in its place, dated like the oldest of what went into it."""
    making = _Making(anew, [time.time()])
    with scratch(final.parent) as unfinished:
        made = unfinished / final.name
        made.mkdir()
        token = _making.set(making)
        try:
            build(made)
        finally:
            _making.reset(token)
        os.utime(made, (time.time(), min(making.ages)))
        entries.replace(made, final)


def _is_stale(final: Path, fresh_s: float) -> bool:
    try:
        return time.time() - final.stat().st_mtime > fresh_s
    except FileNotFoundError:
        return False


def _tidy() -> None:
    """Remove what nobody used for long, once. That it cannot be done is no reason to fail."""
    if root() in _tidied:
        return
    _tidied.add(root())
    try:
        entries.prune(root(), now=time.time(), unused_s=UNUSED_S)
    except OSError as error:
        _LOG.warning("old entries of the cache cannot be removed: %s", error)


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A temporary directory beside the caches (same file system), removed at the end."""
    place = parent or root()
    place.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=entries.HIDDEN_BUILD, dir=place))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)
        shutil.rmtree(path)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if name not in _IGNORED]
        yield from (Path(folder) / file for file in files)
