"""Copies a whole object to a file and proves it by its SHA-384 before it gets its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.cosi.source import Source

CHUNK_BYTES = 1 << 20
PART_SUFFIX = ".part"


def fetch(source: Source, target: Path, sha384: str, progress: Callable[[int, int], None]) -> None:
    """Write the object behind `source` to `target`, on disk when this returns.

    `target` is replaced only by a file that has the digest. `progress` gets bytes done and in all.
    Raises load-cosi when the object cannot be read or is another one; OSError when it cannot be
    written; then no file is left.
    """
    part = target.with_name(target.name + PART_SUFFIX)
    try:
        found = _copy(source, part, progress)
        if found != sha384:
            raise TridentError(
                Kind.INVALID_INPUT,
                "load-cosi",
                f"{source.url} has the SHA-384 {found}, not {sha384}",
                hint="correct the hash, or the file on the server",
                fields={"url": source.url},
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-384 of a file, in lower-case hexadecimal. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha384").hexdigest()


def _copy(source: Source, target: Path, progress: Callable[[int, int], None]) -> str:
    """Copy and flush; the SHA-384 of what was copied."""
    found = hashlib.sha384()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    done = 0
    with source.open_range(0, source.size) as reader, target.open("wb") as stream:
        while count := reader.readinto(buffer):
            found.update(buffer[:count])
            stream.write(buffer[:count])
            done += count
            progress(done, source.size)
        stream.flush()
        os.fsync(stream.fileno())
    return found.hexdigest()
