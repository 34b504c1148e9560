"""Writes the overlay map beside an image: what the boot server needs to lay something over it."""

from __future__ import annotations

from pathlib import Path

from agent.linux import files
from agent.medium import layout, overlay_map
from agent.medium.description import Description
from agent.medium.overlay_map import OverlayMap
from iso_builder.medium import filesystem
from iso_builder.medium.rewrite import not_written

_REPLACED = (layout.OVERLAY, *layout.MENUS)


def write(image: Path, built: Description) -> OverlayMap:
    """Write the map of a finished image; `built` is what it says it was built with.

    Raises iso-unreadable, write-output-file.
    """
    found = filesystem.places(image, _REPLACED)
    extents = {name: (place.offset, place.size) for name, place in found.items()}
    target = overlay_map.beside(image)
    try:
        drawn = overlay_map.draw(image, built, extents)
        files.write(target, drawn.dump())
    except OSError as error:
        raise not_written(target, error) from error
    return drawn


def forget(image: Path) -> None:
    """Remove the map of an image that is about to change: none is better than a wrong one.

    Raises write-output-file.
    """
    target = overlay_map.beside(image)
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(target, error) from error
