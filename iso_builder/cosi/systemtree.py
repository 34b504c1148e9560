"""The directory tree of an installed OS: the file systems of a disk at their mount points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from iso_builder.cosi import imagefs
from iso_builder.cosi.imagefs import ImageFs


@dataclass(frozen=True)
class Branch:
    """A file system and where it is mounted."""

    mount_point: PurePosixPath
    files: ImageFs


class SystemTree:
    """Reads files by their path in the running OS; one of the branches is `/`.

    Links are followed within one file system.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = sorted(
            branches, key=lambda branch: len(branch.mount_point.parts), reverse=True
        )

    def text(self, *paths: str) -> str | None:
        """The first of these files that is there, as text."""
        for path in paths:
            branch, inner = self._place(path)
            text = imagefs.read_text(branch.files, inner)
            if text is not None:
                return text
        return None

    def copy_out(self, path: str, target: Path) -> bool:
        """Copy the file at `path` to `target`; False when there is none."""
        branch, inner = self._place(path)
        return imagefs.copy_out(branch.files, inner, target)

    def _place(self, path: str) -> tuple[Branch, str]:
        """The file system that `path` is on, and its path there."""
        wanted = PurePosixPath(path)
        branch = next(
            branch for branch in self._branches if wanted.is_relative_to(branch.mount_point)
        )
        return branch, f"/{wanted.relative_to(branch.mount_point)}"
