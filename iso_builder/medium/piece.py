"""A stretch of a file as an image source: a COSI file inside the ISO image that holds it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from agent.cosi.closing import Closing
from agent.cosi.source import FileSource, RangeReader
from iso_builder.medium.filesystem import Place


class Piece(Closing):
    """The bytes of `file` at `place`. Implements `agent.cosi.source.Source`."""

    def __init__(self, file: Path, place: Place) -> None:
        self._whole = FileSource(file)
        self._place = place

    @property
    def url(self) -> str:
        return f"{self._whole.url}#{self._place.offset}"

    @property
    def size(self) -> int:
        return self._place.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._whole.read_at(self._place.offset + offset, length)

    def open_range(self, offset: int, length: int) -> AbstractContextManager[RangeReader]:
        return self._whole.open_range(self._place.offset + offset, length)

    def close(self) -> None:
        self._whole.close()
