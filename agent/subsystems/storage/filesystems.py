"""Which devices get a new file system or a swap area in this run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.api.status import ServicingType
from agent.api.storage import FileSystem, FileSystemSource, Storage
from agent.subsystems.storage.image_match import Match


@dataclass(frozen=True)
class NewFileSystem:
    """A file system to be made: `device_id` is the id the configuration uses for it."""

    device_id: str
    type: str
    mount_path: str | None


def to_make(
    storage: Storage, matches: Sequence[Match], servicing: ServicingType
) -> tuple[NewFileSystem, ...]:
    """The file systems to make: all new ones at a clean install, and the empty ESP that the
    image's boot files are then copied into; at an update only the new ones on A/B pairs.
    """
    install = servicing is ServicingType.CLEAN_INSTALL
    made = list(_new(storage, pairs_only=not install))
    if install:
        made += _esp(matches)
    return tuple(made)


def swap_ids(storage: Storage, servicing: ServicingType) -> tuple[str, ...]:
    """The devices that become swap areas: only at a clean install, later they are in use."""
    if servicing is not ServicingType.CLEAN_INSTALL:
        return ()
    return tuple(swap.device_id for swap in storage.swap)


def image_targets(
    storage: Storage, matches: Sequence[Match], servicing: ServicingType
) -> tuple[Match, ...]:
    """The matches whose image is written to a device: not the ESP; at an update A/B pairs only."""
    pairs = {pair.id for pair in storage.volume_pairs}
    install = servicing is ServicingType.CLEAN_INSTALL
    return tuple(
        item
        for item in matches
        if not item.configured.is_esp and (install or item.device_id in pairs)
    )


def _new(storage: Storage, *, pairs_only: bool) -> Iterator[NewFileSystem]:
    pairs = {pair.id for pair in storage.volume_pairs}
    for filesystem in storage.filesystems:
        device_id = _device_id(filesystem)
        if device_id is not None and (device_id in pairs or not pairs_only):
            path = filesystem.mount_path
            yield NewFileSystem(
                device_id, str(filesystem.effective_type), None if path is None else str(path)
            )


def _device_id(filesystem: FileSystem) -> str | None:
    """The device of a file system that is to be made; None for all others."""
    if filesystem.source is not FileSystemSource.NEW:
        return None
    return filesystem.device_id


def _esp(matches: Sequence[Match]) -> Iterator[NewFileSystem]:
    for item in matches:
        if item.configured.is_esp:
            yield NewFileSystem(item.device_id, str(item.image.fs_type), str(item.mount_path))
