"""What a medium is told: how it was built, and what was laid over it later. Pure.

All of it lies in files of fixed size that can be overwritten in place: the reserved area and the
two menus. Whoever changes a medium (`trident-iso customize`, the boot server) makes them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from agent.api.errors import Kind, TridentError
from agent.medium import layout, menu, overlay
from agent.medium.description import Description
from agent.trust import contents

_AREA_MENU: Final = "menu.json"
"""The menu of a changed medium, beside what is embedded in the reserved area."""


@dataclass(frozen=True)
class State:
    """A medium as it is: how it was built, what was laid over it."""

    built: Description
    menu: menu.Menu
    files: Mapping[str, bytes]
    """Embedded later; they come before those the medium was built with."""

    @property
    def is_pristine(self) -> bool:
        return not self.files and self.menu == self.built.menu


def read(built: Description, area: bytes) -> State:
    """The state of a medium whose reserved area holds `area`. Raises iso-unreadable."""
    files = overlay.decode(area)
    written = files.pop(_AREA_MENU, None)
    if written is None:
        return State(built, built.menu, files)
    try:
        return State(built, menu.Menu.model_validate_json(written), files)
    except ValidationError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "iso-unreadable",
            "the menu in the medium's reserved area is of another version of trident-iso",
            hint="reset it: trident-iso customize ISO --reset -o OUT",
        ) from error


def parts(state: State) -> Mapping[str, bytes]:
    """The files that are overwritten, by their names, for a medium to be in this state.

    Raises overlay-too-large, kernel-arguments-too-long.
    """
    area = dict(state.files)
    if state.menu != state.built.menu:
        area[_AREA_MENU] = state.menu.model_dump_json(by_alias=True).encode()
    return {
        layout.OVERLAY: overlay.encode(area, layout.OVERLAY_BYTES),
        **menu.texts(state.menu),
    }


def undescribed() -> Mapping[str, bytes]:
    """What stands in place of the description of changes when nobody describes them."""
    return {
        layout.CHANGES: bytes(contents.CHANGES_BYTES),
        layout.CHANGES_SIGNATURE: bytes(contents.SIGNATURE_BYTES),
    }
