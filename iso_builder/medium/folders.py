"""Reads the folders of an ISO 9660 image with Rock Ridge names (ECMA-119, 8.4 and 9.1). Pure.

For images that may be damaged: only what leads to files is looked at, and every step is bounded.
Rock Ridge: SUSP 1.12 (continuation areas, CE) and RRIP 1.12 (names, NM).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from iso_builder.medium.filesystem import SECTOR, Place

_DESCRIPTOR = 16 * SECTOR
_ROOT_RECORD = 156
_FOLDER = 0x02
_NAME_OFFSET = 33
_DEEPEST = 32
_MOST_AREAS = 8
_WHERE = struct.Struct("<I4xI4x")
_CONTINUED = struct.Struct("<I4xI4xI4x")


class DamagedFolder(Exception):
    """A record of a folder makes no sense."""


def files(image: memoryview) -> dict[str, tuple[Place, ...]]:
    """Where each file is, by its path; one of 4 GiB and more has several places.

    Raises DamagedFolder.
    """
    if bytes(image[_DESCRIPTOR : _DESCRIPTOR + 6]) != b"\x01CD001":
        raise DamagedFolder("it has no ISO 9660 file system")
    found: dict[str, tuple[Place, ...]] = {}
    try:
        for name, place in _below(image, _place(image, _DESCRIPTOR + _ROOT_RECORD), "", 0):
            found[name] = (*found.get(name, ()), place)
    except (struct.error, IndexError) as error:
        raise DamagedFolder("a folder ends in the middle") from error
    return found


def _below(
    image: memoryview, folder: Place, prefix: str, depth: int
) -> Iterator[tuple[str, Place]]:
    if depth > _DEEPEST:
        raise DamagedFolder(f"folders are nested deeper than {_DEEPEST}")
    for record in _records(image, folder):
        name = prefix + _name(image, record)
        place = _place(image, record)
        if image[record + 25] & _FOLDER:
            yield from _below(image, place, f"{name}/", depth + 1)
        else:
            yield name, place


def _records(image: memoryview, folder: Place) -> Iterator[int]:
    """Offsets of a folder's records, but those of itself and its parent."""
    at, end = folder.offset, folder.offset + folder.size
    if end > len(image):
        raise DamagedFolder("a folder is outside of the image")
    number = 0
    while at < end:
        length = image[at]
        if length == 0:
            at = (at // SECTOR + 1) * SECTOR
            continue
        if length < _NAME_OFFSET + 1:
            raise DamagedFolder("a record of a folder is too short")
        if number > 1:
            yield at
        number += 1
        at += length


def _place(image: memoryview, record: int) -> Place:
    block, size = _WHERE.unpack_from(image, record + 2)
    return Place(block * SECTOR, size)


def _name(image: memoryview, record: int) -> str:
    own = image[record + 32]
    start = record + _NAME_OFFSET + own + (own + 1) % 2
    area: Place | None = Place(start, record + image[record] - start)
    name = b""
    for _ in range(_MOST_AREAS):
        if area is None:
            break
        part, area = _entries(image, area)
        name += part
    if not name or b"/" in name:
        raise DamagedFolder("a file has no name")
    return name.decode("utf-8", "surrogateescape")


def _entries(image: memoryview, area: Place) -> tuple[bytes, Place | None]:
    """What an area with system use entries adds to a name, and where the next area is."""
    at, end = area.offset, min(area.offset + area.size, len(image))
    name, following = b"", None
    while at + 4 <= end:
        kind, length = bytes(image[at : at + 2]), image[at + 2]
        if length < 4:
            break
        if kind == b"NM":
            name += bytes(image[at + 5 : at + length])
        elif kind == b"CE":
            block, offset, size = _CONTINUED.unpack_from(image, at + 4)
            following = Place(block * SECTOR + offset, size)
        at += length
    return name, following
