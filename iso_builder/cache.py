"""Build cache: `${XDG_CACHE_HOME:-~/.cache}/trident-appliance/<kind>/<key>/`.

A key is the hash of all inputs of what is kept; a directory is complete when it was renamed into
place, so a reader never sees half of one. One builder a key at a time (advisory lock).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

KEY_LENGTH = 24
_IGNORED = {"__pycache__"}


def root() -> Path:
    """The folder of all caches; not created."""
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


def obtain(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """The directory `<kind>/<name>`, built by `build(empty directory)` if it is not there yet.

    A build that raises leaves nothing behind.
    """
    final = root() / kind / name
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with _locked(final.parent / f".{name}.lock"):
        if final.is_dir():
            return final
        with scratch(final.parent) as unfinished:
            made = unfinished / name
            made.mkdir()
            build(made)
            made.rename(final)
    return final


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A temporary directory beside the caches (same file system), removed at the end."""
    place = parent or root()
    place.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=".build-", dir=place))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if name not in _IGNORED]
        yield from (Path(folder) / file for file in files)
