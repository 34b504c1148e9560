"""The content of an image, pulled piece by piece: for looking at two images at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO, cast

import zstandard

from agent.cosi import tar
from agent.cosi.metadata import ImageFile
from agent.cosi.reader import CosiImage
from agent.cosi.source import RangeReader
from agent.cosi.stream import check_window

CHUNK_BYTES = 1024 * 1024


class _Hashed:
    """A range as a file, hashed while it is read."""

    def __init__(self, source: RangeReader) -> None:
        self._source = source
        self.digest = hashlib.sha384()

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        count = self._source.readinto(memoryview(buffer))
        data = bytes(memoryview(buffer)[:count])
        self.digest.update(data)
        return data


def chunks(image: CosiImage, file: ImageFile) -> Iterator[bytes]:
    """The decompressed content; every piece but the last has CHUNK_BYTES.

    Only when the iterator has ended was the content right. Raises corrupt-os-image, load-cosi.
    """
    member = image.member(file.path)
    window = check_window(image)
    with image.source.open_range(member.offset, member.size) as reader:
        hashed = _Hashed(reader)
        decompressor = zstandard.ZstdDecompressor(max_window_size=window)
        # Of a file the stream only uses `read`.
        stream = decompressor.stream_reader(cast("IO[bytes]", hashed), read_across_frames=True)
        missing = file.uncompressed_size
        try:
            while missing:
                chunk = stream.read(min(missing, CHUNK_BYTES))
                if not chunk:
                    break
                missing -= len(chunk)
                yield chunk
            rest = stream.read(1)
        except zstandard.ZstdError as error:
            raise tar.corrupt(f"{file.path!r} cannot be decompressed: {error}") from error
    if missing or rest:
        raise tar.corrupt(f"{file.path!r} does not have the size that its metadata says")
    if hashed.digest.hexdigest() != file.sha384:
        raise tar.corrupt(f"{file.path!r} does not have the SHA-384 that its metadata says")
