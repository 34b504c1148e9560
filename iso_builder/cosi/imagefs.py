"""Reads single files out of file system images, and patches them, without mounting anything.

Works as any user and needs no kernel support. Paths are absolute within the file system. A reader
knows the place of every byte of a file: a file is read, or altered without changing its size, in
the image itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from agent.api.errors import Kind, TridentError

MAX_TEXT_BYTES = 16 * 1024 * 1024
MAX_FILE_BYTES = 4 * 1024 * 1024 * 1024
_MAX_LINKS = 40
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Extent:
    """A stretch of a file: `length` bytes at `offset` of the image. `offset` None is a hole."""

    offset: int | None
    length: int


@dataclass(frozen=True)
class PlainFile:
    """A regular file: its size, and where its bytes are, in order."""

    size: int
    extents: tuple[Extent, ...]
    inline: bytes | None = None
    """The content, when it lies among the metadata of the file system (and has no extents)."""


@dataclass(frozen=True)
class Link:
    """A symbolic link and what it says."""

    target: str


@dataclass(frozen=True)
class Folder:
    """A directory."""


Node = PlainFile | Link | Folder


class ImageFs(Protocol):
    """A file system image that can be read."""

    @property
    def image(self) -> Path: ...

    def look(self, path: str) -> Node | None:
        """What is at `path`, a link itself, not what it leads to; None: nothing usable."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Names of the plain files in `folder`, sorted; none when there is no such folder."""
        ...

    def folders(self, folder: str) -> tuple[str, ...]:
        """Names of the directories in `folder`, sorted; none when there is no such folder."""
        ...


def find(files: ImageFs, path: str) -> PlainFile | None:
    """The file at `path`, symbolic links followed within the image; None when there is none."""
    direct = files.look(path)
    if isinstance(direct, PlainFile):
        return direct
    return _follow(files, list(PurePosixPath(path).parts[1:]))


def _follow(files: ImageFs, pending: list[str]) -> PlainFile | None:
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop(0)
        if part in ("..", "."):
            done = done[:-1] if part == ".." else done
            continue
        node = files.look("/" + "/".join([*done, part]))
        match node:
            case PlainFile():
                return None if pending else node
            case Folder():
                done.append(part)
            case Link(target):
                links += 1
                if links > _MAX_LINKS:
                    return None
                steps = PurePosixPath(target).parts
                done = [] if target.startswith("/") else done
                pending = [step for step in steps if step != "/"] + pending
            case None:
                return None
    return None


def is_folder(files: ImageFs, path: str) -> bool:
    """Whether there is a directory at `path`; links are not followed."""
    return isinstance(files.look(path), Folder)


def read(files: ImageFs, path: str) -> bytes | None:
    """The content of a small file; None when there is none. Raises corrupt-os-image."""
    found = find(files, path)
    if found is None:
        return None
    if found.size > MAX_TEXT_BYTES:
        raise corrupt(f"{path} has {found.size} bytes: that is no text file")
    return b"".join(_chunks(files.image, found))


def read_text(files: ImageFs, path: str) -> str | None:
    """A small text file; what is not UTF-8 in it is replaced."""
    data = read(files, path)
    return None if data is None else data.decode("utf-8", "replace")


def copy_out(files: ImageFs, path: str, target: Path) -> bool:
    """Copy a file to `target`; False when there is none. Raises corrupt-os-image."""
    found = find(files, path)
    if found is None:
        return False
    if found.size > MAX_FILE_BYTES:
        raise corrupt(f"{path} has {found.size} bytes: no boot file or database is that large")
    with target.open("wb") as out:
        for chunk in _chunks(files.image, found):
            out.write(chunk)
    return True


def patch(image: Path, file: PlainFile, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file in the image itself. Raises corrupt-os-image (no bytes there)."""
    if file.inline is not None:
        raise corrupt("a file that must be changed lies among the metadata of its file system")
    with image.open("r+b") as out:
        at = 0
        for extent in file.extents:
            start, end = max(offset, at), min(offset + len(data), at + extent.length)
            if start < end:
                if extent.offset is None:
                    raise corrupt("a file that must be changed has a hole there")
                out.seek(extent.offset + start - at)
                out.write(data[start - offset : end - offset])
            at += extent.length


def bounded(size: int, stretches: Iterator[tuple[int, int, int]]) -> PlainFile:
    """A file of stretches (place in the file, place in the image, bytes); gaps are holes."""
    extents: list[Extent] = []
    at = 0
    for logical, offset, length in sorted(stretches):
        if logical >= size:
            break
        if logical > at:
            extents.append(Extent(None, logical - at))
        length = min(length, size - logical)
        last = extents[-1] if extents else Extent(None, 0)
        if last.offset is not None and last.offset + last.length == offset:
            extents[-1] = Extent(last.offset, last.length + length)
        else:
            extents.append(Extent(offset, length))
        at = logical + length
    if at < size:
        extents.append(Extent(None, size - at))
    return PlainFile(size, tuple(extents))


def corrupt(what: str) -> TridentError:
    """The error for a file system that holds what it must not."""
    return TridentError(
        Kind.INVALID_INPUT,
        "corrupt-os-image",
        what,
        hint="check the file system of the image and that file in it",
    )


def unreadable_name(path: str) -> TridentError:
    """The error for a path that the tools cannot be told."""
    return TridentError(
        Kind.INVALID_INPUT,
        "corrupt-os-image",
        f"the image has a path that cannot be read: {path!r}",
        hint="rename that file in the image",
    )


def _chunks(image: Path, file: PlainFile) -> Iterator[bytes]:
    if file.inline is not None:
        yield file.inline
    with image.open("rb") as source:
        for extent in file.extents:
            missing = extent.length
            if extent.offset is not None:
                source.seek(extent.offset)
            while missing:
                want = min(missing, _CHUNK_BYTES)
                chunk = bytes(want) if extent.offset is None else source.read(want)
                if not chunk:
                    raise corrupt("a file of the image lies behind the end of the image")
                missing -= len(chunk)
                yield chunk
