"""Files set aside byte for byte, so that they can be put back after a change that failed.

A keepsake is a folder: one file for each kept path, named by that path; a path where nothing was
has a name that says so. It is complete once the folder has its name, and outlives a power cut.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from agent.linux import files

_ABSENT = ".absent"
_KEPT = ".kept"


def keep(paths: Sequence[Path], folder: Path) -> None:
    """Copy `paths`, with mode and owner, into `folder`; one that is there already holds."""
    if folder.exists():
        return
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    for path in paths:
        name = quote(str(path), safe="")
        if path.exists():
            _copy(path, fresh / (name + _KEPT))
        else:
            files.write(fresh / (name + _ABSENT), b"", mode=0o600)
    files.sync_directory(fresh)
    fresh.rename(folder)
    files.sync_directory(folder.parent)


def put_back(folder: Path) -> bool:
    """Make every kept path what it was. False: there is no keepsake, so nothing was touched."""
    if not folder.is_dir():
        return False
    for kept in sorted(folder.iterdir()):
        path = Path(unquote(kept.stem))
        if kept.suffix == _KEPT:
            path.parent.mkdir(parents=True, exist_ok=True)
            _copy(kept, path)
        elif path.exists():
            path.unlink()
            files.sync_directory(path.parent)
    return True


def forget(folder: Path) -> None:
    """Remove the keepsake; fine when there is none."""
    shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    status = source.stat()
    files.copy(source, target, mode=status.st_mode & 0o777)
    os.chown(target, status.st_uid, status.st_gid)
