"""Extension images on a root: a staging folder that knows them by hash, and where systemd looks.

What is done here goes by what is on the disk, not by what was done before: after a power cut or a
kill the same call goes on. An image that is replaced or removed stays in the staging folder, from
where it can come back, until `clear`.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.api import extensions
from agent.api.errors import Kind, TridentError
from agent.api.extensions import SUFFIX, ExtensionKind, Wanted
from agent.api.osconfig import Os
from agent.cosi import fetch
from agent.linux import files

STAGING = Path("/var/lib/extensions/.staging")
MODE = 0o644


@dataclass(frozen=True)
class Placed:
    """An extension image whose place on the host is known."""

    kind: ExtensionKind
    sha384: str
    path: PurePosixPath

    @property
    def name(self) -> str:
        """What systemd calls it."""
        return self.path.stem


def placed(os: Os) -> tuple[Placed, ...]:
    """The images of a configuration that says where each is; others are left out. Pure."""
    return tuple(
        Placed(item.kind, item.sha384, item.extension.path)
        for item in extensions.wanted(os)
        if item.extension.path is not None
    )


def staged(root: Path, sha384: str) -> Path:
    """Where the image of this hash waits."""
    return files.inside(root, STAGING) / f"{sha384}{SUFFIX}"


def holds(path: Path, sha384: str) -> bool:
    """Whether there is a file with this hash. Reads it."""
    try:
        return path.is_file() and fetch.digest(path) == sha384
    except OSError:
        return False


def local(root: Path, wanted: Wanted, known: Iterable[Placed]) -> Path | None:
    """A file below `root` that is the image: staged before, or in use already."""
    candidates = [staged(root, wanted.sha384)]
    candidates += [files.inside(root, one.path) for one in known if one.sha384 == wanted.sha384]
    return next((path for path in candidates if holds(path, wanted.sha384)), None)


def reconcile(target: Sequence[Placed], known: Sequence[Placed], root: Path) -> None:
    """Have exactly `target` of the images at the paths of `target` and `known`.

    Raises servicing/find-staged-file when one is neither in place nor staged.
    """
    paths = {one.path for one in target}
    for path in sorted({one.path for one in known} - paths):
        _remove(files.inside(root, path), root)
    for one in target:
        at = files.inside(root, one.path)
        if not holds(at, one.sha384):
            _place(one, at, root)


def clear(root: Path, keep: Iterable[str] = ()) -> None:
    """Remove the staging folder, or all of it but the images with the hashes of `keep`."""
    folder = files.inside(root, STAGING)
    kept = {staged(root, sha384) for sha384 in keep}
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.glob("*") if folder.is_dir() else ():
        if path not in kept:
            path.unlink()


def _place(one: Placed, at: Path, root: Path) -> None:
    source = staged(root, one.sha384)
    if not holds(source, one.sha384):
        raise TridentError(
            Kind.SERVICING,
            "find-staged-file",
            f"the {one.kind} '{one.name}' is not staged any more: {source} is gone or was changed",
            hint="stage again",
            fields={"path": str(source)},
        )
    _keep(at, root)
    at.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    source.chmod(MODE)
    _link(source, at)


def _remove(path: Path, root: Path) -> None:
    if path.is_file():
        _keep(path, root)
        path.unlink()
        files.sync_directory(path.parent)


def _keep(path: Path, root: Path) -> None:
    """Have an image that is about to go in the staging folder too; nothing when there is none."""
    if not path.is_file():
        return
    sha384 = fetch.digest(path)
    aside = staged(root, sha384)
    if not holds(aside, sha384):
        aside.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _link(path, aside)


def _link(source: Path, target: Path) -> None:
    """Have `target` be the same file (a copy on another file system), replaced in one go."""
    fresh = target.with_name(target.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.hardlink_to(source)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        files.copy(source, target, mode=MODE)
        return
    fresh.replace(target)
    files.sync_directory(target.parent)
