"""The image of each machine: which it is now, or why there is none. Decides as for network boot.

Declared and not installed: it installs. Installed: it boots the disk, until a reinstall is granted.
Not declared, or refused: none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.api.errors import TridentError
from agent.medium.composite import Laid
from bootserver import configuration
from bootserver.boot.policy import BootPolicy, subject
from bootserver.configuration import Place
from bootserver.hosts import Host
from bootserver.media import baseimage, lay
from bootserver.media.baseimage import Base
from bootserver.media.digests import Digests
from bootserver.reports.state import Record, active_volume
from bootserver.settings import Settings

_KEPT: Final = 64


@dataclass(frozen=True)
class Image:
    """An image of one machine: `laid` over `base`. `installs`: it installs when it is booted."""

    base: Base
    laid: Laid
    installs: bool

    @property
    def size(self) -> int:
        return self.base.size

    @property
    def etag(self) -> str:
        """Changes whenever a byte of it may: names the image and what is laid over it."""
        return f'"{self.base.drawn.base.sha384[:32]}-{self.laid.sha384[:32]}"'


@dataclass(frozen=True)
class NoImage:
    """Why a machine has none: an HTTP status, what is wrong, what to do."""

    status: int
    error: str
    hint: str


class Media:
    """Finds the images. Safe to use from several threads; reads only, but for known digests."""

    def __init__(self, settings: Settings, policy: BootPolicy, digests: Digests) -> None:
        self._settings = settings
        self._policy = policy
        self._digests = digests
        path = settings.medium
        self._base: Callable[[], Base] | None = None if path is None else baseimage.watch(path)

    @property
    def are_served(self) -> bool:
        """Whether the settings name an image."""
        return self._base is not None

    def url(self, mac: str) -> str:
        """Where a machine's image is; service processors like dashes better than colons."""
        return f"{self._settings.base_url}/iso/{mac.replace(':', '-')}.iso"

    def require(self) -> None:
        """Look at the image, if there is to be one.

        Raises medium-unavailable, overlay-map-wrong, iso-unreadable.
        """
        if self._base is not None:
            self._base()

    def of(self, mac: str) -> Image | NoImage:
        """The image of a machine. Raises medium-unavailable, overlay-map-wrong, iso-unreadable."""
        if self._base is None:
            hint = "build one with `trident-iso iso` and name it as `medium` in the settings"
            return NoImage(404, "this boot server has no installation medium", hint)
        host, record, granted = self._policy.known(mac)
        if host is None:
            hint = f"declare it: trident-bootserver hosts add {mac} --host-config FILE"
            return NoImage(404, f"{mac} is not declared", hint)
        return self._declared(self._base(), host, record, granted)

    def sha384(self, image: Image) -> str:
        """Of the whole image. Raises overlay-map-wrong, medium-unavailable."""
        return self._digests.sha384(image.base, image.laid)

    def _declared(
        self, base: Base, host: Host, record: Record | None, granted: bool
    ) -> Image | NoImage:
        if subject(host, record, granted).boots_its_disk:
            volume = active_volume(record.host_status if record else None)
            return Image(base, _booting_its_disk(base, volume), installs=False)
        if host.problem is not None or host.configuration is None:
            return NoImage(422, f"{host.mac}: {host.problem}", "correct the machine's declaration")
        place = Place.of(self._settings)
        url, words = self._settings.base_url, host.kernel_arguments
        try:
            laid = _installing(base, host.mac, host.configuration, place, url, words)
        except TridentError as error:
            hint = error.hint or "correct the machine's declaration"
            return NoImage(422, f"{host.mac}: {error.message}", hint)
        return Image(base, laid, installs=True)


@lru_cache(maxsize=_KEPT)
def _booting_its_disk(base: Base, active: str | None) -> Laid:
    return lay.booting_its_disk(base, active)


@lru_cache(maxsize=_KEPT)
def _installing(
    base: Base, mac: str, text: str, place: Place, url: str, arguments: tuple[str, ...]
) -> Laid:
    """Kept for those that are being read: an image is read in thousands of ranges."""
    complete = configuration.complete(text, mac, place)
    return lay.installing(base, mac, complete, url, arguments)
