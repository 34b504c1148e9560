"""Streams one image of a COSI file to a block device or a file.

Four stages run at once: fetch -> SHA-384 of the compressed bytes -> zstd -> write with O_DIRECT.
Buffers are few and reused: at most 4 MiB compressed and 8 MiB decompressed are in flight, on top
of the zstd window. Never more than the announced size is written; the hash is known only at the
end, so a caller must treat the target as worthless until `write_image` has returned.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard

from agent.api.errors import Kind, TridentError, context
from agent.cosi import pipeline, tar
from agent.cosi.metadata import ImageFile
from agent.cosi.reader import CosiImage
from agent.cosi.sink import Buffer, DeviceSink, FileSink, MemorySink, NullSink, Sink
from agent.cosi.source import RangeReader

Progress = Callable[[int, int], None]
"""Called with done and total bytes (decompressed) in the caller's thread, about twice a second."""

DEFAULT_WINDOW_LOG = 27
"""What zstd itself allows when an image does not say (COSI below 1.2)."""
MAX_WINDOW_LOG = 31

_CHUNK_BYTES = 1024 * 1024
_CHUNKS = 4
_BUFFERS = 4


@dataclass(frozen=True)
class WriteReport:
    """What writing one image took. `direct`: the target was written past the page cache."""

    written_bytes: int
    compressed_bytes: int
    sha384: str
    duration_s: float
    direct: bool


def write_image(
    image: CosiImage,
    file: ImageFile,
    target: Path,
    *,
    progress: Progress,
    expected_capacity_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> WriteReport:
    """Write `file` to the start of `target`, a block device or an existing file, and sync it.

    `expected_capacity_bytes`: the size the device was planned with; another size means another
    device and is refused. `memory_bytes` bounds the zstd window (default: half of what is free).
    Destroys: what the target held.
    Raises corrupt-os-image, load-cosi, filesystem-size-exceeds-block-device, deploy-images.
    """
    with context(f"writing {file.path} to {target}"):
        window = check_window(image, memory_bytes)
        with DeviceSink(target, file.uncompressed_size, expected_capacity_bytes) as sink:
            return _stream(image, file, sink, window, progress)


def extract_image(
    image: CosiImage,
    file: ImageFile,
    target_file: Path,
    *,
    progress: Progress = lambda _done, _total: None,
    memory_bytes: int | None = None,
) -> WriteReport:
    """Write `file` to a regular file, which appears only when it is complete and verified.

    Raises corrupt-os-image, load-cosi, deploy-images.
    """
    with context(f"extracting {file.path} to {target_file}"):
        window = check_window(image, memory_bytes)
        with FileSink(target_file) as sink:
            report = _stream(image, file, sink, window, progress)
            sink.publish()
            return report


def check_image(
    image: CosiImage, file: ImageFile, *, progress: Progress = lambda _done, _total: None
) -> WriteReport:
    """Read `file` to its end and throw it away: its hash and its size are right.

    Raises corrupt-os-image, load-cosi.
    """
    return _stream(image, file, NullSink(), check_window(image), progress)


def pour_image(image: CosiImage, file: ImageFile, sink: Sink, *, progress: Progress) -> WriteReport:
    """Stream `file` into any sink. Only when this returns was the content right.

    Raises corrupt-os-image, load-cosi, and what the sink raises.
    """
    return _stream(image, file, sink, check_window(image), progress)


def read_image(image: CosiImage, file: ImageFile) -> bytes:
    """The content of a small image, the partition table for example.

    Raises corrupt-os-image, load-cosi.
    """
    sink = MemorySink(file.uncompressed_size)
    _stream(image, file, sink, check_window(image), lambda _done, _total: None)
    return bytes(sink.content)


def check_window(image: CosiImage, memory_bytes: int | None = None) -> int:
    """The window size in bytes the image needs to be decompressed. Raises load-cosi."""
    compression = image.metadata.compression
    log = DEFAULT_WINDOW_LOG if compression is None else compression.max_window_log
    budget = memory_bytes if memory_bytes is not None else _available_bytes() // 2
    declared = compression is not None
    if log > MAX_WINDOW_LOG or (declared and 1 << log > budget):
        raise TridentError(
            Kind.INVALID_INPUT,
            "load-cosi",
            f"decompressing the image takes a window of 2^{log} bytes; "
            f"{budget // 2**20} MiB may be used",
            hint="compress the image anew with a window log of 22 or less, or add memory",
        )
    return 1 << max(log, 10)


class _Chunk:
    """A reusable piece of compressed data."""

    def __init__(self) -> None:
        self.memory = memoryview(mmap.mmap(-1, _CHUNK_BYTES))
        self.used = 0

    @property
    def data(self) -> memoryview:
        return self.memory[: self.used]


class _Stream:
    """The four stages of one image and what they share."""

    def __init__(self, file: ImageFile, reader: RangeReader, sink: Sink, window: int) -> None:
        self.gate = pipeline.Gate()
        self._file = file
        self._reader = reader
        self._sink = sink
        self._window = window
        self._fetched: pipeline.Channel[_Chunk] = pipeline.Channel(self.gate)
        self._hashed: pipeline.Channel[_Chunk] = pipeline.Channel(self.gate)
        self._filled: pipeline.Channel[Buffer] = pipeline.Channel(self.gate)
        self._chunks = pipeline.Pool(self.gate, [_Chunk() for _ in range(_CHUNKS)])
        self._buffers = pipeline.Pool(self.gate, [Buffer() for _ in range(_BUFFERS)])
        self._lent: _Chunk | None = None
        self.digest = hashlib.sha384()
        self.written = 0

    def fetch(self) -> None:
        missing = self._file.compressed_size
        while missing:
            chunk = self._chunks.take()
            chunk.used = _fill(self._reader, chunk.memory[: min(missing, _CHUNK_BYTES)])
            if chunk.used == 0:
                raise tar.corrupt(f"{self._file.path!r} is truncated: {missing} bytes are missing")
            missing -= chunk.used
            self._fetched.put(chunk)
        self._fetched.close()

    def hash(self) -> None:
        while (chunk := self._fetched.get()) is not None:
            self.digest.update(chunk.data)
            self._hashed.put(chunk)
        self._hashed.close()
        if self.digest.hexdigest() != self._file.sha384.lower():
            raise tar.corrupt(
                f"{self._file.path!r} has the SHA-384 {self.digest.hexdigest()}, "
                f"its metadata says {self._file.sha384}"
            )

    def decompress(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=self._window)
        # Of a file the stream only uses `read`, and it takes buffers as well as bytes.
        stream = decompressor.stream_reader(cast("IO[bytes]", self), read_across_frames=True)
        missing = self._file.uncompressed_size
        try:
            while missing:
                buffer = self._buffers.take()
                buffer.used = stream.readinto(buffer.memory[: min(missing, len(buffer.memory))])
                if buffer.used == 0:
                    raise tar.corrupt(
                        f"{self._file.path!r} is {missing} bytes shorter, decompressed, "
                        "than its metadata says"
                    )
                missing -= buffer.used
                self._filled.put(buffer)
            if stream.readinto(bytearray(1)):
                raise tar.corrupt(
                    f"{self._file.path!r} is larger, decompressed, than the "
                    f"{self._file.uncompressed_size} bytes its metadata says"
                )
        except zstandard.ZstdError as error:
            raise tar.corrupt(f"{self._file.path!r} cannot be decompressed: {error}") from error
        self._filled.close()

    def read(self, _size: int) -> memoryview | bytes:
        """The next compressed piece; the one handed out before is free again."""
        if self._lent is not None:
            self._chunks.give(self._lent)
        self._lent = self._hashed.get()
        return b"" if self._lent is None else self._lent.data

    def write(self) -> None:
        while (buffer := self._filled.get()) is not None:
            self._sink.write(self.written, buffer.data)
            self.written += buffer.used
            self._buffers.give(buffer)
        self._sink.sync()


def _stream(
    image: CosiImage, file: ImageFile, sink: Sink, window: int, progress: Progress
) -> WriteReport:
    member = image.member(file.path)
    started = time.monotonic()
    total = file.uncompressed_size
    with image.source.open_range(member.offset, file.compressed_size) as reader:
        stream = _Stream(file, reader, sink, window)
        pipeline.run(
            stream.gate,
            (stream.fetch, stream.hash, stream.decompress, stream.write),
            interrupt=reader.cancel,
            tick=lambda: progress(stream.written, total),
        )
    return WriteReport(
        written_bytes=stream.written,
        compressed_bytes=file.compressed_size,
        sha384=stream.digest.hexdigest(),
        duration_s=time.monotonic() - started,
        direct=sink.direct,
    )


def _fill(reader: RangeReader, view: memoryview) -> int:
    done = 0
    while done < len(view):
        count = reader.readinto(view[done:])
        if count == 0:
            break
        done += count
    return done


def _available_bytes() -> int:
    """MemAvailable of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
