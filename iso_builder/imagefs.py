"""Reads single files out of file system images without mounting them: debugfs and mtools.

Works as any user and needs no kernel support. Paths are absolute within the file system.
"""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from agent.api.errors import Kind, TridentError
from agent.linux.run import run

_MAX_LINKS = 8
_MTOOLS = {"MTOOLS_SKIP_CHECK": "1", "MTOOLS_NO_VFAT": "0"}


class ImageFs(Protocol):
    """A file system image that can be read."""

    def read(self, path: str) -> bytes | None:
        """The file at `path` (symbolic links followed), None when there is none."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Names of the plain files in `folder`, sorted; none when there is no such folder."""
        ...


class ExtFs:
    """An ext2/3/4 image, by debugfs."""

    def __init__(self, image: Path) -> None:
        self._image = image

    def read(self, path: str) -> bytes | None:
        current = PurePosixPath(path)
        for _ in range(_MAX_LINKS):
            kind, target = self._look(current)
            if kind == "regular":
                return self._dump(current)
            if kind != "symlink" or target is None:
                return None
            current = _resolve(current.parent / target)
        return None

    def names(self, folder: str) -> tuple[str, ...]:
        lines = self._debugfs(f"ls -p {_quoted(folder)}").splitlines()
        entries = [line.split("/") for line in lines if line.count("/") >= 6]
        return tuple(sorted(entry[5] for entry in entries if entry[2].startswith("10")))

    def _look(self, path: PurePosixPath) -> tuple[str, str | None]:
        """Type of the inode at `path` (empty when there is none), and where a link leads."""
        text = self._debugfs(f"stat {_quoted(str(path))}")
        kind, target = "", None
        for line in text.splitlines():
            if "Type: " in line:
                kind = line.partition("Type: ")[2].split()[0]
            if line.startswith("Fast link dest: "):
                target = line.partition(": ")[2].strip().strip('"')
        return kind, target

    def _dump(self, path: PurePosixPath) -> bytes:
        with tempfile.NamedTemporaryFile() as out:
            self._debugfs(f"dump {_quoted(str(path))} {out.name}")
            return Path(out.name).read_bytes()

    def _debugfs(self, request: str) -> str:
        return run(["debugfs", "-R", request, self._image]).stdout


class FatFs:
    """A FAT image, by mtools. Names compare without regard to case."""

    def __init__(self, image: Path) -> None:
        self._image = image

    def read(self, path: str) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "file"
            argv: list[str | Path] = ["mcopy", "-n", "-i", self._image, f"::{path}", target]
            run(argv, ok=(0, 1), env=_MTOOLS)
            return target.read_bytes() if target.is_file() else None

    def names(self, folder: str) -> tuple[str, ...]:
        argv: list[str | Path] = ["mdir", "-b", "-i", self._image, f"::{folder}"]
        lines = run(argv, ok=(0, 1), env=_MTOOLS).stdout.splitlines()
        paths = [line.strip() for line in lines if line.startswith("::")]
        return tuple(sorted(path.rpartition("/")[2] for path in paths if not path.endswith("/")))


def reader(image: Path, filesystem: str) -> ImageFs | None:
    """A reader for the file system type `blkid` named, None when there is none for it."""
    if filesystem in ("ext2", "ext3", "ext4"):
        return ExtFs(image)
    if filesystem == "vfat":
        return FatFs(image)
    return None


def _resolve(path: PurePosixPath) -> PurePosixPath:
    parts: list[str] = []
    for part in path.parts[1:]:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return PurePosixPath("/", *parts)


def _quoted(path: str) -> str:
    """`path` for a debugfs request, which knows quotes but no escapes."""
    if '"' in path or not path.isprintable():
        raise TridentError(
            Kind.INVALID_INPUT,
            "corrupt-os-image",
            f"the image has a path that cannot be read: {path!r}",
            hint="rename that file in the image",
        )
    return f'"{path}"'
