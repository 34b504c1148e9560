"""Writes the overlay map beside an image: what the boot server needs to lay something over it."""

from __future__ import annotations

from pathlib import Path

from agent.linux import files
from agent.medium import layout, overlay_map
from agent.medium.description import Description
from agent.medium.overlay_map import OverlayMap
from agent.trust import check
from iso_builder.medium import filesystem
from iso_builder.medium.filesystem import Place
from iso_builder.medium.rewrite import not_written

_REPLACED = (*layout.MUTABLE, layout.CHANGES, layout.CHANGES_SIGNATURE)


def write(image: Path, built: Description) -> OverlayMap:
    """Write the map of a finished image; `built` is what it says it was built with.

    Raises iso-unreadable, write-output-file.
    """
    found = filesystem.places(image, (*_REPLACED, layout.CONTENTS, layout.SIGNATURE))
    extents = {name: (found[name].offset, found[name].size) for name in _REPLACED if name in found}
    target = overlay_map.beside(image)
    try:
        takes = layout.SIGNATURE not in found or _allows_changes(image, found[layout.CONTENTS])
        drawn = overlay_map.draw(image, built, extents, takes_changes=takes)
        files.write(target, drawn.dump())
    except OSError as error:
        raise not_written(target, error) from error
    return drawn


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
