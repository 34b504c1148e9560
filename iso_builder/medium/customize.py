"""Changes a finished medium: what is embedded, kernel arguments, boot server. In place, in seconds.

Only the reserved area and the two menus are written; both have fixed sizes, so no other byte of
the image moves and its partition tables stay right. The pristine copies of the menus on the medium
and an area of zeros make the original image again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from agent.api.errors import Kind, TridentError
from agent.cosi.source import Source
from agent.medium import layout, menu, state
from agent.medium.description import Description
from agent.medium.provisions import NOTHING, Provisions, laid_over
from agent.medium.state import State
from agent.trust.keys import SigningKey
from iso_builder.medium import build, embed, filesystem, mapping, seal
from iso_builder.medium.filesystem import Place
from iso_builder.medium.piece import Piece
from iso_builder.medium.rewrite import rewrite, stream

_NEEDED = (
    *(layout.DESCRIPTION, *layout.MUTABLE, *map(layout.pristine, layout.MENUS)),
    *(layout.CONTENTS, layout.CHANGES, layout.CHANGES_SIGNATURE),
)


@dataclass(frozen=True)
class Order:
    """What is to be changed; an empty field leaves what the medium has."""

    configurations: tuple[embed.Configuration, ...] = ()
    arguments: tuple[str, ...] = ()
    """Kernel arguments that are added."""
    countdown_s: int | None = None
    provisions: Provisions = NOTHING
    """What the medium is to bring for the live system."""


def read(image: Path) -> State:
    """Look at a medium. Raises iso-unreadable."""
    parts = _read_parts(image, _located(image))
    try:
        built = Description.model_validate_json(parts[layout.DESCRIPTION])
    except ValidationError as error:
        raise _not_ours(image, "its description is of another version of trident-iso") from error
    return state.read(built, parts[layout.OVERLAY])


def customize(
    image: Path, order: Order, target: Path | BinaryIO, key: SigningKey | None = None
) -> State:
    """Write a changed copy of `image` to `target`: a file (also `image` itself), or a stream.

    `key` signs the changes.

    What was laid over the medium before is kept unless the order replaces it.
    Raises iso-unreadable, overlay-too-large, kernel-arguments-too-long, write-output-file, and what
    the checks of `embed` raise.
    """
    before = read(image)
    checked = embed.check_configurations(order.configurations, before.built.images)
    embed.require_fit(order.configurations, lambda name: _embedded(image, name))
    files = laid_over({**before.files, **checked.texts}, order.provisions)
    arguments = [*build.network_arguments(checked, order.provisions), *order.arguments]
    added = [word for word in arguments if word not in before.menu.arguments]
    words = tuple(added) + before.menu.arguments
    chosen = menu.chosen(
        label=before.menu.label,
        arguments=words,
        unattended=before.menu.unattended or bool(checked.texts) or build.has_server(words),
        countdown_s=order.countdown_s or before.menu.countdown_s,
    )
    after = State(before.built, chosen, files)
    _write(image, target, lambda parts: _described(parts[layout.CONTENTS], state.parts(after), key))
    return after


def reset(image: Path, target: Path | BinaryIO) -> State:
    """Write `image` to `target` as it was built, byte for byte. Raises like `customize`."""
    built = read(image).built
    _write(image, target, _pristine_parts)
    return State(built, built.menu, {})


def _embedded(image: Path, name: str) -> Source | None:
    """An image on the medium; None for one in pieces (4 GiB and more)."""
    path = f"{layout.IMAGES}/{name}"
    place = filesystem.places(image, [path]).get(path)
    return None if place is None else Piece(image, place)


def _described(
    contents: bytes, areas: Mapping[str, bytes], key: SigningKey | None
) -> Mapping[str, bytes]:
    return {**areas, **seal.describe(contents, areas, key)}


def _pristine_parts(parts: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {
        layout.OVERLAY: bytes(len(parts[layout.OVERLAY])),
        **{name: parts[layout.pristine(name)] for name in layout.MENUS},
        **state.undescribed(),
    }


def _write(
    image: Path,
    target: Path | BinaryIO,
    change: Callable[[Mapping[str, bytes]], Mapping[str, bytes]],
) -> None:
    """Copy `image` with some of its files replaced by others of the same size.

    A file gets its map, a stream has none.
    """
    places = _located(image)
    parts = _read_parts(image, places)
    changed = change(parts)
    for name, data in changed.items():
        if len(data) != places[name].size:
            raise _not_ours(image, f"{name} has {places[name].size} bytes")
    placed = {places[name].offset: data for name, data in changed.items()}
    if not isinstance(target, Path):
        stream(image, placed, target)
        return
    mapping.forget(target)
    built = Description.model_validate_json(parts[layout.DESCRIPTION])
    with ThreadPoolExecutor(1) as beside:
        drawn = beside.submit(mapping.draw, image, built, placed)
        rewrite(image, placed, target)
        mapping.save(target, drawn.result())


def _located(image: Path) -> Mapping[str, Place]:
    places = filesystem.places(image, _NEEDED)
    missing = [name for name in _NEEDED if name not in places]
    if missing:
        raise _not_ours(image, f"it has no {missing[0]}")
    return places


def _read_parts(image: Path, places: Mapping[str, Place]) -> Mapping[str, bytes]:
    with image.open("rb") as stream:
        parts = {}
        for name, place in places.items():
            stream.seek(place.offset)
            parts[name] = stream.read(place.size)
    return parts


def _not_ours(image: Path, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "iso-unreadable",
        f"{image} is no installation medium of trident-iso: {why}",
        hint="name an image that `trident-iso iso` made; for one of upstream's use "
        "`trident-iso patch`",
    )
