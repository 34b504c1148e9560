"""What is laid over the image for one machine. Pure.

A machine that is to be installed: its Host Configuration, the boot server's address, its name at
the server. One that is installed: a menu that boots its disk, and no Host Configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.api import load
from agent.medium import images, layout, menu, state
from agent.medium.composite import Laid
from agent.medium.menu import Local
from agent.medium.state import State
from bootserver.media.baseimage import Base

_OURS: Final = ("trident.server=", "BOOTIF=")
_LOCAL: Final = {"volume-a": Local.A, "volume-b": Local.B}


def installing(
    base: Base, mac: str, configuration: str, server: str, arguments: Sequence[str]
) -> Laid:
    """For a machine to be installed. `configuration` is complete, `server` the server's URL.

    Raises image-not-embedded, image-digest, overlay-too-large, kernel-argument,
    kernel-arguments-too-long, overlay-map-wrong.
    """
    image = load.load(configuration).image
    if image is not None:
        images.require(image, base.drawn.medium.images)
    dashed = mac.replace(":", "-")
    own = (f"{_OURS[0]}{server}", f"{_OURS[1]}01-{dashed}")
    before = [word for word in base.state.menu.arguments if not word.startswith(_OURS)]
    added = [word for word in arguments if word not in before]
    chosen = menu.chosen(
        label=base.state.menu.label,
        arguments=(*own, *added, *before),
        unattended=True,
        countdown_s=base.state.menu.countdown_s,
    )
    name = f"{layout.CONFIGURATIONS}/{dashed}.yaml"
    files = {**base.state.files, name: configuration.encode()}
    return _laid(base, State(base.state.built, chosen, files))


def booting_its_disk(base: Base, active_volume: str | None) -> Laid:
    """For an installed machine. Raises overlay-map-wrong."""
    before = base.state.menu
    chosen = menu.chosen(
        label=before.label,
        arguments=before.arguments,
        unattended=False,
        countdown_s=before.countdown_s,
        local=_LOCAL.get(active_volume or "", Local.ANY),
    )
    return _laid(base, State(base.state.built, chosen, base.state.files))


def _laid(base: Base, changed: State) -> Laid:
    """These changes; what described earlier ones on the medium does not describe them."""
    described = {
        name: data for name, data in state.undescribed().items() if base.drawn.extent(name)
    }
    return base.drawn.laid({**state.parts(changed), **described})
