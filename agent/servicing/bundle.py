"""A zstd-compressed tar file, written under a temporary name and renamed when it is whole.

Only the owner can read it. Members are regular files below one directory.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from agent.api.errors import Kind, TridentError
from agent.linux import files

PREFIX = "trident-diagnostics"
_MODE = 0o600


class Unwritable(Exception):
    """The bundle itself cannot be written; what is collected for it is not to blame."""


class Bundle:
    """An open bundle. Make it with `written`."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, member: str, content: bytes) -> None:
        """Add a member with this content. Raises Unwritable."""
        self._add(self._header(member, len(content)), io.BytesIO(content))

    def add_file(self, member: str, path: Path) -> int:
        """Add the content of a file that nobody writes any more; returns its size.

        Raises Unwritable, and OSError when the file cannot be opened.
        """
        with path.open("rb") as stream:
            size = path.stat().st_size
            self._add(self._header(member, size), stream)
        return size

    def _add(self, header: tarfile.TarInfo, content: BinaryIO) -> None:
        try:
            self._archive.addfile(header, content)
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from error

    def _header(self, member: str, size: int) -> tarfile.TarInfo:
        header = tarfile.TarInfo(f"{PREFIX}/{member}")
        header.size = size
        header.mode = _MODE
        header.mtime = int(time.time())
        return header


@contextmanager
def written(path: Path) -> Iterator[Bundle]:
    """A bundle that becomes `path` at the end of the block; an error in it leaves no file.

    Raises internal/generate-diagnostics-bundle when the file cannot be written.
    """
    try:
        with (
            files.replacing(path, mode=_MODE) as stream,
            zstandard.ZstdCompressor().stream_writer(stream, closefd=False) as compressed,
            tarfile.open(fileobj=compressed, mode="w|") as archive,
        ):
            yield Bundle(archive)
    except (OSError, Unwritable) as error:
        raise TridentError(
            Kind.INTERNAL,
            "generate-diagnostics-bundle",
            f"the bundle {path} could not be written: {getattr(error, 'strerror', None) or error}",
            hint="name a file in a directory that exists, on a file system that can be written and "
            "has space",
            fields={"path": str(path)},
        ) from error
