"""Writes COSI files: compresses regions and puts the archive together.

Specification: upstream's COSI revision 1.2 (marker, metadata, regions in the order of the disk).
The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from agent.cosi import tar
from agent.cosi.reader import MARKER, METADATA

WINDOW_LOG = 22
MIN_WINDOW_LOG, MAX_WINDOW_LOG = 10, 31
_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Region:
    """A stretch of a file: where a region of the disk is to be read."""

    file: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Compressed:
    """A compressed region in a file of its own, and what the metadata says of it."""

    file: Path
    compressed_size: int
    uncompressed_size: int
    sha384: str


def compress(
    region: Region,
    target: Path,
    *,
    level: int = 3,
    window_log: int = WINDOW_LOG,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Compressed:
    """Compress a region with zstd into `target`.

    The number of threads does not change the bytes. Windows above 2^22 bytes come with zstd's
    search for matches over long distances; whoever decompresses needs that much memory.
    """
    parameters = _parameters(level, window_log, threads)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    digest = hashlib.sha384()
    compressed = 0
    with region.file.open("rb", buffering=0) as source, target.open("wb") as out:
        source.seek(region.offset)
        stream = compressor.compressobj(size=region.size)
        missing = region.size
        while missing:
            data = source.read(min(missing, _CHUNK_BYTES))
            if not data:
                raise tar.corrupt(f"{region.file} ends {missing} bytes too early")
            missing -= len(data)
            piece = stream.compress(data)
            digest.update(piece)
            compressed += out.write(piece)
            progress(region.size - missing, region.size)
        piece = stream.flush()
        digest.update(piece)
        compressed += out.write(piece)
    return Compressed(target, compressed, region.size, digest.hexdigest())


def assemble(target: Path, metadata: bytes, members: Sequence[tuple[str, Path]]) -> None:
    """Write the archive; `target` appears only when it is complete and durable.

    `members` are archive paths and the files to copy, in the order of the disk.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as out:
            out.write(tar.encode_header(MARKER, 0))
            out.write(tar.encode_header(METADATA, len(metadata)))
            out.write(metadata + _padding(len(metadata)))
            for name, file in members:
                size = file.stat().st_size
                out.write(tar.encode_header(name, size))
                with file.open("rb") as source:
                    shutil.copyfileobj(source, out, _CHUNK_BYTES)
                out.write(_padding(size))
            out.write(bytes(2 * tar.BLOCK_BYTES))
            out.flush()
            os.fsync(out.fileno())
        os.rename(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _parameters(level: int, window_log: int, threads: int) -> zstandard.ZstdCompressionParameters:
    # Without the long search, threads would each get a job of many windows: gigabytes.
    return zstandard.ZstdCompressionParameters.from_level(
        level,
        window_log=window_log,
        enable_ldm=window_log > WINDOW_LOG,
        threads=max(threads, 1),
        write_checksum=True,
        write_content_size=True,
    )


def _padding(size: int) -> bytes:
    return bytes(-size % tar.BLOCK_BYTES)
