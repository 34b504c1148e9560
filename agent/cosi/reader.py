"""Opens a COSI file: where its members are, what its metadata says, and that both agree.

Specification: upstream's COSI revision 1.2. Everything here happens before anything is written:
the whole tar structure is walked (headers only, a few small reads), so a truncated or doctored
file is refused while that costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from agent.api.errors import Kind, TridentError, context
from agent.cosi import metadata as cosi_metadata
from agent.cosi import tar
from agent.cosi.metadata import CosiMetadata, ImageFile
from agent.cosi.source import Source

MARKER = "cosi-marker"
METADATA = "metadata.json"
MAX_METADATA_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 4096
_WINDOW_BYTES = 16 * 1024


@dataclass(frozen=True)
class Member:
    """Where the data of one file of the archive lies."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True)
class CosiImage:
    """An opened COSI file. `metadata_sha384` is lower-case hexadecimal."""

    source: Source
    metadata: CosiMetadata
    metadata_sha384: str
    members: Mapping[str, Member]
    """By path, in archive order."""

    def member(self, path: str) -> Member:
        """The member at `path`. Raises corrupt-os-image."""
        found = self.members.get(path)
        if found is None:
            raise tar.corrupt(f"the COSI file holds no {path!r}")
        return found


def open_image(source: Source, expected_sha384: str | None) -> CosiImage:
    """Read the structure and the metadata of the COSI file behind `source`.

    `expected_sha384` is the hexadecimal digest that metadata.json must have; None accepts any.
    Needs: `source` stays open as long as the image is used.
    Raises corrupt-os-image, load-cosi.
    """
    with context(f"opening the image {source.url}"):
        members = index(source)
        text = read_metadata(source, members)
        digest = digest_metadata(text, expected_sha384)
        image = CosiImage(source, cosi_metadata.parse(text), digest, members)
        _compare_sizes(image)
        return image


def read_metadata(source: Source, members: Mapping[str, Member]) -> bytes:
    """The bytes of metadata.json. Raises corrupt-os-image, load-cosi."""
    listed = members.get(METADATA)
    if listed is None:
        raise tar.corrupt(f"the file holds no {METADATA}: this is not a COSI file")
    if listed.size > MAX_METADATA_BYTES:
        raise tar.corrupt(f"{METADATA} has {listed.size} bytes, more than 16 MiB")
    return source.read_at(listed.offset, listed.size)


def digest_metadata(text: bytes, expected_sha384: str | None) -> str:
    """The SHA-384 of metadata.json. Raises load-cosi when another one is expected."""
    digest = hashlib.sha384(text).hexdigest()
    if expected_sha384 is not None and digest != expected_sha384.lower():
        raise _wrong_digest(digest, expected_sha384)
    return digest


def image_files(metadata: CosiMetadata) -> Iterator[ImageFile]:
    """Every mention of a member in the metadata; the same file may come twice."""
    yield from metadata.files()
    if metadata.disk is not None:
        for region in metadata.disk.gpt_regions:
            yield region.image


def index(source: Source) -> Mapping[str, Member]:
    """The members by path: all headers are walked. Raises corrupt-os-image, load-cosi."""
    members: dict[str, Member] = {}
    for member in _walk(source):
        if member.path in members:
            raise tar.corrupt(f"the archive holds {member.path!r} twice")
        members[member.path] = member
        if len(members) > MAX_ENTRIES:
            raise tar.corrupt(f"the archive has more than {MAX_ENTRIES} entries")
    return members


def _compare_sizes(image: CosiImage) -> None:
    for file in image_files(image.metadata):
        member = image.member(file.path)
        if member.size != file.compressed_size:
            raise tar.corrupt(
                f"{file.path!r} has {member.size} bytes in the archive, "
                f"its metadata says {file.compressed_size}"
            )


def end_of_members(source: Source) -> int:
    """Where the end-of-archive marker begins, in bytes. Raises corrupt-os-image, load-cosi."""
    walk = _walk(source)
    while True:
        try:
            next(walk)
        except StopIteration as end:
            return int(end.value)


def _walk(source: Source) -> Generator[Member, None, int]:
    """The members in their order; returns where the end-of-archive marker begins."""
    window = _Window(source)
    offset = 0
    large_size: int | None = None
    for _ in range(3 * MAX_ENTRIES):
        header = tar.parse_header(window.read(offset, tar.BLOCK_BYTES))
        offset += tar.BLOCK_BYTES
        if header is None:
            return offset - tar.BLOCK_BYTES
        if large_size is not None and header.kind is tar.EntryKind.FILE:
            header = tar.enlarge(header, large_size)
        large_size = None
        if offset + header.padded_size > source.size:
            raise tar.corrupt(
                f"the file is truncated: {header.name!r} ends at byte "
                f"{offset + header.padded_size}, the file at {source.size}"
            )
        match header.kind:
            case tar.EntryKind.FILE:
                yield Member(header.name, offset, header.size)
            case tar.EntryKind.EXTENSION | tar.EntryKind.GLOBAL_EXTENSION:
                large_size = _extension(window, header, offset)
            case tar.EntryKind.DIRECTORY:
                pass
        offset += header.padded_size
    raise tar.corrupt(f"the archive has more than {MAX_ENTRIES} entries")


def _extension(window: _Window, header: tar.Header, offset: int) -> int | None:
    if header.size > tar.MAX_EXTENSION_BYTES:
        raise tar.corrupt(f"an extended tar header has {header.size} bytes")
    size = tar.parse_extension(window.read(offset, header.size))
    if size is not None and header.kind is tar.EntryKind.GLOBAL_EXTENSION:
        raise tar.corrupt("a global tar header overrides the size of entries: refused")
    return size


class _Window:
    """Reads small pieces, mostly from what the last read fetched anyway."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._offset = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        start = offset - self._offset
        if start < 0 or start + length > len(self._data):
            if offset + length > self._source.size:
                raise tar.corrupt("the file is truncated: its end-of-archive marker is missing")
            want = min(max(length, _WINDOW_BYTES), self._source.size - offset)
            self._offset, self._data, start = offset, self._source.read_at(offset, want), 0
        return self._data[start : start + length]


def _wrong_digest(found: str, expected: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "load-cosi",
        f"{METADATA} has the SHA-384 {found}, the Host Configuration expects {expected.lower()}",
        hint="the image was replaced or image.sha384 belongs to another one: correct one of them",
    )
