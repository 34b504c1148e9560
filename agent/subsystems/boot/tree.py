"""Finding files on an ESP, where names differ in case only on paper (FAT). Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def find(root: Path, relative: str) -> Path | None:
    """The file or directory at `relative` below `root`, whatever the case of its names."""
    found = root
    for part in relative.split("/"):
        entry = child(found, part)
        if entry is None:
            return None
        found = entry
    return found


def first(root: Path, candidates: Iterable[str]) -> Path | None:
    """The first of `candidates` that is a regular file below `root`."""
    for candidate in candidates:
        found = find(root, candidate)
        if found is not None and found.is_file():
            return found
    return None


def child(directory: Path, name: str) -> Path | None:
    """The entry of `directory` with this name, whatever its case."""
    if not directory.is_dir():
        return None
    wanted = name.casefold()
    return next((entry for entry in directory.iterdir() if entry.name.casefold() == wanted), None)


def files(directory: Path) -> tuple[Path, ...]:
    """The regular files directly in `directory`, sorted by name; none when it does not exist."""
    if not directory.is_dir():
        return ()
    return tuple(sorted(entry for entry in directory.iterdir() if entry.is_file()))
