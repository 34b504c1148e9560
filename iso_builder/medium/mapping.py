"""Writes the overlay map beside an image: what the boot server needs to lay something over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.linux import files
from agent.medium import layout, overlay_map
from agent.medium.composite import Laid
from agent.medium.description import Description
from agent.medium.overlay_map import OverlayMap
from agent.trust import check
from iso_builder.medium import filesystem
from iso_builder.medium.filesystem import Place
from iso_builder.medium.rewrite import not_written

_NO_CHANGES: Final[Mapping[int, bytes]] = MappingProxyType({})
_REPLACED = (*layout.MUTABLE, layout.CHANGES, layout.CHANGES_SIGNATURE)


def write(image: Path, built: Description) -> OverlayMap:
    """Write the map of a finished image; `built` is what it says it was built with.

    Raises iso-unreadable, write-output-file.
    """
    drawn = draw(image, built)
    save(image, drawn)
    return drawn


def draw(image: Path, built: Description, changes: Mapping[int, bytes] = _NO_CHANGES) -> OverlayMap:
    """The map of `image` with bytes replaced at these offsets. Raises iso-unreadable."""
    found = filesystem.places(image, (*_REPLACED, layout.CONTENTS, layout.SIGNATURE))
    extents = {name: (found[name].offset, found[name].size) for name in _REPLACED if name in found}
    try:
        takes = layout.SIGNATURE not in found or _allows_changes(image, found[layout.CONTENTS])
        return overlay_map.draw(image, built, extents, takes_changes=takes, laid=Laid.of(changes))
    except OSError as error:
        raise filesystem.unreadable(image, error.strerror or str(error)) from error


def save(image: Path, drawn: OverlayMap) -> None:
    """Write a map beside its image. Raises write-output-file."""
    target = overlay_map.beside(image)
    try:
        files.write(target, drawn.dump())
    except OSError as error:
        raise not_written(target, error) from error


def _allows_changes(image: Path, place: Place) -> bool:
    """Whether a signed medium says that changes of it need no signature."""
    with image.open("rb") as stream:
        stream.seek(place.offset)
        listed = check.read_contents(stream.read(place.size))
    return listed is not None and listed.unsigned_changes


def forget(image: Path) -> None:
    """Remove the map of an image that is about to change: none is better than a wrong one.

    Raises write-output-file.
    """
    target = overlay_map.beside(image)
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(target, error) from error
