"""The Range header (RFC 9110 section 14): one range of bytes, or the whole file. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SINGLE: Final = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Whole:
    """Send everything with status 200."""


@dataclass(frozen=True)
class Part:
    """Send `length` bytes from `start` with status 206."""

    start: int
    length: int


@dataclass(frozen=True)
class Unsatisfiable:
    """Nothing of the file is asked for: status 416."""


Selection = Whole | Part | Unsatisfiable


def select(header: str | None, size: int) -> Selection:
    """What of a file of `size` bytes a Range header selects.

    A header that cannot be read, or that names several ranges, is ignored, as the RFC allows.
    """
    match = _SINGLE.fullmatch(header) if header is not None else None
    if match is None:
        return Whole()
    first, last = match.groups()
    if not first:
        return _suffix(last, size)
    start = int(first)
    if last and int(last) < start:
        return Whole()
    if start >= size:
        return Unsatisfiable()
    end = min(int(last), size - 1) if last else size - 1
    return Part(start, end - start + 1)


def _suffix(last: str, size: int) -> Selection:
    if not last:
        return Whole()
    length = min(int(last), size)
    return Part(size - length, length) if length else Unsatisfiable()
