"""The overlay map beside an image: where something can be laid over it, and what the image is.

`trident-iso` writes it, the boot server reads it; so neither needs to understand the other's ISO
code. Its form: docs/architecture.md, "Overlay map".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from agent.api.errors import Kind, TridentError
from agent.medium import composite
from agent.medium.composite import NOTHING_LAID, Beginning, Laid
from agent.medium.description import Description

_SUFFIX: Final = ".map.json"
_Sha384 = Field(pattern="^[0-9a-f]{96}$")


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class Piece(_Model):
    """A stretch of the image. One with a `name` is that file, and can be replaced as a whole."""

    offset: int = Field(ge=0)
    size: int = Field(ge=0)
    """What a replacement may have, in bytes."""
    sha384: str = _Sha384
    name: str | None = None

    @property
    def end(self) -> int:
        return self.offset + self.size


class Whole(_Model):
    """The image as it is."""

    size: int = Field(ge=0)
    sha384: str = _Sha384


class OverlayMap(_Model):
    """An image: `pieces` in their order, one behind the other, from its first to its last byte."""

    version: Literal[1] = 1
    base: Whole
    medium: Description
    takes_changes: bool = True
    """Whether the machine takes what is laid over the image without a signature."""
    pieces: tuple[Piece, ...]

    @model_validator(mode="after")
    def _pieces_are_the_whole(self) -> Self:
        place = 0
        for piece in self.pieces:
            if piece.offset != place:
                raise ValueError(f"the piece at {piece.offset} does not begin at {place}")
            place = piece.end
        if place != self.base.size:
            raise ValueError(f"the pieces end at {place}, the image at {self.base.size}")
        return self

    def extent(self, name: str) -> Piece | None:
        """The place of a file that can be replaced."""
        return next((piece for piece in self.pieces if piece.name == name), None)

    def laid(self, parts: Mapping[str, bytes]) -> Laid:
        """These files, laid over the image. Raises overlay-map-wrong, overlay-too-large."""
        placed: dict[int, bytes] = {}
        for name, data in parts.items():
            extent = self.extent(name)
            if extent is None:
                raise wrong(f"it has no place for {name}")
            if len(data) > extent.size:
                raise TridentError(
                    Kind.INVALID_INPUT,
                    "overlay-too-large",
                    f"{name} needs {len(data)} bytes, the medium has room for {extent.size}",
                    hint="embed less, or build a medium with these files",
                )
            placed[extent.offset] = data.ljust(extent.size, b"\0")
        return Laid.of(placed)

    def dump(self) -> bytes:
        """As JSON, ending in a newline."""
        text = self.model_dump_json(by_alias=True, indent=1, exclude_none=True)
        return (text + "\n").encode()


def beside(image: Path) -> Path:
    """Where the map of an image is."""
    return image.with_name(image.name + _SUFFIX)


def draw(
    image: Path,
    medium: Description,
    extents: Mapping[str, tuple[int, int]],
    *,
    takes_changes: bool = True,
    laid: Laid = NOTHING_LAID,
) -> OverlayMap:
    """The map of an image; `extents` has offset and size of each file that can be replaced.

    With `laid`, of the image that has these bytes instead of its own.
    Reads the whole image. Raises OSError.
    """
    descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        named = {offset: (offset + length, name) for name, (offset, length) in extents.items()}
        spans: list[tuple[int, int, str | None]] = []
        place = 0
        for offset, (end, name) in sorted(named.items()):
            if offset > place:
                spans.append((place, offset, None))
            spans.append((offset, end, name))
            place = end
        if size > place:
            spans.append((place, size, None))
        whole, each = composite.digests(descriptor, [(start, end) for start, end, _ in spans], laid)
    finally:
        os.close(descriptor)
    return OverlayMap(
        base=Whole(size=size, sha384=whole),
        medium=medium,
        takes_changes=takes_changes,
        pieces=tuple(
            Piece(offset=start, size=end - start, sha384=sha384, name=name)
            for (start, end, name), sha384 in zip(spans, each, strict=True)
        ),
    )


def read(image: Path) -> OverlayMap:
    """The map beside an image. Raises overlay-map-wrong."""
    path = beside(image)
    try:
        return OverlayMap.model_validate_json(path.read_bytes())
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"]))
        raise wrong(f"{path}: {place}: {found['msg']}") from error


def verify(descriptor: int, drawn: OverlayMap, laid: Laid = NOTHING_LAID) -> Beginning:
    """Compare an open image with its map, all of it; the digest's state where `laid` begins.

    Raises overlay-map-wrong, OSError.
    """
    if os.fstat(descriptor).st_size != drawn.base.size:
        raise wrong(f"it is of an image of {drawn.base.size} bytes")
    before = Beginning(descriptor, laid.first)
    if composite.digest(descriptor, NOTHING_LAID, drawn.base.size, before) == drawn.base.sha384:
        return before
    raise wrong(_difference(descriptor, drawn))


def _difference(descriptor: int, drawn: OverlayMap) -> str:
    _, each = composite.digests(descriptor, [(piece.offset, piece.end) for piece in drawn.pieces])
    for piece, sha384 in zip(drawn.pieces, each, strict=True):
        if sha384 != piece.sha384:
            what = piece.name or f"what lies between {piece.offset} and {piece.end}"
            return f"{what} has another SHA-384 than the map says"
    return "the image has another SHA-384 than the map says"


def wrong(why: str) -> TridentError:
    """The error for an image and a map that do not belong together."""
    return TridentError(
        Kind.INVALID_INPUT,
        "overlay-map-wrong",
        f"the overlay map does not fit the image: {why}",
        hint="copy image and map together; `trident-iso map ISO` writes the map anew",
    )
