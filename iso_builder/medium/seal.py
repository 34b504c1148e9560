"""Lists what a medium holds, digest by digest, and signs the list; room for both is in the image.

The lists are written when everything else of the image is, over files of zeros that were put there
for them. Large files are digested where they come from while the image is written; all other bytes
of the image are read for it, once.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.medium import layout
from agent.trust import contents as documents
from agent.trust.contents import Area, Changes, Contents, File, Frame, sha384
from agent.trust.keys import SigningKey
from iso_builder import manifest
from iso_builder.medium import filesystem, folders
from iso_builder.medium.filesystem import Entry, Place

_ANY_DIGEST = "0" * 96
_LARGE_BYTES = 1 << 20
_ANY_NUMBER = 10**15
"""No longer number stands in a list."""


@dataclass(frozen=True)
class Measured:
    """An image as it is: the digest of each file, and of all bytes outside of files."""

    files: Mapping[str, File]
    frame: Frame
    places: Mapping[str, tuple[Place, ...]]


def room(entries: Sequence[Entry], boot_catalogue: str, *, signed: bool) -> Iterator[Entry]:
    """Files of zeros, as large as the lists for these entries will be."""
    names = [*(entry.name for entry in entries), boot_catalogue]
    any_file = File(size=_ANY_NUMBER, sha384=_ANY_DIGEST)
    any_area = Area(offset=_ANY_NUMBER, size=_ANY_NUMBER, sha384=_ANY_DIGEST)
    fixed = {name: any_file for name in names if name not in layout.MUTABLE}
    most = Contents(
        kind="medium",
        files=fixed,
        frame=Frame(size=_ANY_NUMBER, sha384=_ANY_DIGEST),
        mutable={name: any_area for name in layout.MUTABLE},
    )
    yield Entry(layout.SUMS, bytes(len(documents.sums(most, layout.CONTENTS, b""))))
    yield Entry(layout.CONTENTS, bytes(len(most.dump())))
    if signed:
        yield Entry(layout.SIGNATURE, bytes(documents.SIGNATURE_BYTES))
    yield Entry(layout.CHANGES, bytes(documents.CHANGES_BYTES))
    yield Entry(layout.CHANGES_SIGNATURE, bytes(documents.SIGNATURE_BYTES))


@contextmanager
def digesting(entries: Sequence[Entry]) -> Iterator[Callable[[], Mapping[str, File]]]:
    """Digest large files by a thread during the block; calling it waits for them. Raises OSError.

    They are those that an image holds as they are: what boot loaders are told about the image is
    written into small ones only.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = {
            entry.name: pool.submit(manifest.measure, entry.source)
            for entry in entries
            if isinstance(entry.source, Path) and entry.size >= _LARGE_BYTES
        }
        try:
            yield lambda: {name: future.result() for name, future in running.items()}
        finally:
            pool.shutdown(cancel_futures=True)


def write(
    image: Path,
    key: SigningKey | None,
    *,
    unsigned_changes: bool,
    known: Mapping[str, File] | None = None,
) -> None:
    """Fill the room in a finished image; `known` files are not read.

    Raises OSError, iso-unreadable.
    """
    measured = measure(image, known or {})
    fixed = {
        name: file
        for name, file in measured.files.items()
        if name not in (*layout.MUTABLE, *layout.SEALS)
    }
    listed = Contents(
        kind="medium",
        files=fixed,
        frame=measured.frame,
        mutable={name: _area(measured, name) for name in layout.MUTABLE},
        unsigned_changes=unsigned_changes,
    )
    places = {name: places[0] for name, places in measured.places.items()}
    text = listed.dump(places[layout.CONTENTS].size)
    parts = {layout.CONTENTS: text, layout.SUMS: documents.sums(listed, layout.CONTENTS, text)}
    if key is not None:
        parts[layout.SIGNATURE] = key.sign(text)
    with image.open("r+b") as stream:
        for name, data in parts.items():
            if len(data) != places[name].size:
                raise ValueError(f"{name} has {len(data)} bytes, there is room for {places[name]}")
            stream.seek(places[name].offset)
            stream.write(data)


def describe(
    contents: bytes, areas: Mapping[str, bytes], key: SigningKey | None
) -> Mapping[str, bytes]:
    """The description of changed areas, signed if there is a key, by the names of its files."""
    written = Changes(
        contents=sha384(contents), areas={name: sha384(data) for name, data in areas.items()}
    ).dump()
    signature = bytes(documents.SIGNATURE_BYTES) if key is None else key.sign(written)
    return {layout.CHANGES: written, layout.CHANGES_SIGNATURE: signature}


def measure(image: Path, known: Mapping[str, File] | None = None) -> Measured:
    """Read an image once and digest all of it but `known` files. Raises OSError, iso-unreadable."""
    with mapped(image) as data:
        pieces = _pieces(image, data)
        found = dict(known or {})
        files = {name: found.get(name) or _digest(data, at) for name, at in pieces.items()}
        rest = _digest(data, _gaps(pieces.values(), len(data)))
        frame = Frame(size=len(data), sha384=rest.sha384)
    return Measured(files, frame, pieces)


@contextmanager
def mapped(image: Path) -> Iterator[memoryview]:
    """The bytes of an image, read as they are used. Raises OSError, iso-unreadable."""
    with image.open("rb") as stream:
        if image.stat().st_size == 0:
            raise filesystem.unreadable(image, "it is empty")
        with (
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
            memoryview(data) as view,
        ):
            yield view


def places(image: Path) -> Mapping[str, tuple[Place, ...]]:
    """Where every file of an image is, even of a damaged one. Raises OSError, iso-unreadable."""
    with mapped(image) as data:
        return _pieces(image, data)


def _pieces(image: Path, data: memoryview) -> Mapping[str, tuple[Place, ...]]:
    try:
        return folders.files(data)
    except folders.DamagedFolder as error:
        raise filesystem.unreadable(image, str(error)) from error


def _digest(data: memoryview, places: Iterable[Place]) -> File:
    digest, size = hashlib.sha384(), 0
    for place in places:
        with data[place.offset : place.offset + place.size] as part:
            digest.update(part)
            size += len(part)
    return File(size=size, sha384=digest.hexdigest())


def _gaps(files: Iterable[tuple[Place, ...]], size: int) -> Iterator[Place]:
    """All bytes of an image that belong to no file."""
    done = 0
    for place in sorted((one for places in files for one in places), key=lambda one: one.offset):
        if place.offset > done:
            yield Place(done, place.offset - done)
        done = max(done, place.offset + place.size)
    yield Place(done, max(size - done, 0))


def _area(measured: Measured, name: str) -> Area:
    file, (place,) = measured.files[name], measured.places[name]
    return Area(offset=place.offset, size=place.size, sha384=file.sha384)
