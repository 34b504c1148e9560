"""The image that every machine's own is made of: `trident-iso iso` wrote it and its overlay map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.medium import layout, overlay_map
from agent.medium import state as states
from agent.medium.overlay_map import OverlayMap
from agent.medium.state import State

Stamp = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Base:
    """An image and what it is told already."""

    path: Path
    stamp: Stamp
    """Changes whenever the image or its map does."""
    drawn: OverlayMap
    state: State

    @property
    def size(self) -> int:
        return self.drawn.base.size

    @property
    def key(self) -> str:
        """Names this image: its digest, and the files that it and its map are now."""
        return f"{self.drawn.base.sha384} {' '.join(map(str, self.stamp))}"

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the image. Raises medium-unavailable."""
        descriptor = self.open()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open(self) -> int:
        """A descriptor that the caller closes. Raises medium-unavailable."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise unavailable(self.path, error) from error
        now = _identity(os.fstat(descriptor))
        if now != self.stamp[: len(now)]:
            os.close(descriptor)
            raise overlay_map.wrong("the image is being replaced")
        return descriptor


def load(path: Path) -> Base:
    """Read map and reserved area. Raises medium-unavailable, overlay-map-wrong, iso-unreadable."""
    stamp = _stamp(path)
    drawn = overlay_map.read(path)
    if not drawn.takes_changes:
        raise _signed(path)
    extent = drawn.extent(layout.OVERLAY)
    if extent is None:
        raise overlay_map.wrong(f"it has no place for {layout.OVERLAY}")
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(extent.offset)
            area = stream.read(extent.size)
    except OSError as error:
        raise unavailable(path, error) from error
    if size != drawn.base.size:
        raise overlay_map.wrong(f"the image has {size} bytes, the map says {drawn.base.size}")
    return Base(path, stamp, drawn, states.read(drawn.medium, area))


def watch(path: Path) -> Callable[[], Base]:
    """A reader that loads the image again whenever it or its map was replaced."""
    loaded: dict[Stamp, Base] = {}

    def current() -> Base:
        stamp = _stamp(path)
        known = loaded.get(stamp)
        if known is None:
            known = load(path)
            loaded.clear()
            loaded[known.stamp] = known
        return known

    return current


def _signed(path: Path) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "medium-takes-no-changes",
        f"{path} is signed, and machines would take nothing that is laid over it",
        hint="build it with `trident-iso iso --key KEY --unsigned-changes`, or without a key",
        fields={"path": str(path)},
    )


def unavailable(path: Path, error: OSError) -> TridentError:
    """The error for an image that cannot be opened or read."""
    return TridentError(
        Kind.INVALID_INPUT,
        "medium-unavailable",
        f"the installation medium {path} cannot be read: {error.strerror or error}",
        hint="build it with `trident-iso iso`, or change `medium` in the settings",
        fields={"path": str(path)},
    )


def _stamp(path: Path) -> Stamp:
    try:
        image = os.stat(path)
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        return (*_identity(image), *_identity(os.stat(overlay_map.beside(path))))
    except OSError as error:
        raise overlay_map.wrong(f"{overlay_map.beside(path)}: {error.strerror}") from error


def _identity(status: os.stat_result) -> Stamp:
    return (status.st_ino, status.st_size, status.st_mtime_ns)
