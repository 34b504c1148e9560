"""What a valid Host Configuration may ask for that this agent cannot do yet.

A table: an entry is deleted when its feature lands. `install` refuses, before it touches anything,
what is found here; `validate` reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.api.errors import Kind
from agent.api.hostconfig import HostConfiguration
from agent.api.storage import FileSystemSource, FileSystemType
from agent.api.yamltext import Path
from agent.check.findings import Finding

CODE: Final = "unsupported-configuration"
_UNDONE_FLAGS: Final = (
    "harpoon",
    "noCloseEncryptedVolumes",
    "reencryptOnCleanInstall",
    "writableEtcOverlayHooks",
)
_CREATED: Final = (FileSystemType.EXT4, FileSystemType.XFS, FileSystemType.VFAT)


@dataclass(frozen=True)
class Missing:
    """A feature that is not implemented and where a configuration asks for it."""

    feature: str
    used: Callable[[HostConfiguration], Iterator[Path]]


def _adopted_partitions(hc: HostConfiguration) -> Iterator[Path]:
    for index, disk in enumerate(hc.storage.disks):
        if disk.adopted_partitions:
            yield ("storage", "disks", index, "adoptedPartitions")


def _adopted_filesystems(hc: HostConfiguration) -> Iterator[Path]:
    for index, fs in enumerate(hc.storage.filesystems):
        if fs.source is FileSystemSource.ADOPTED:
            yield ("storage", "filesystems", index, "source")


def _new_filesystem_types(hc: HostConfiguration) -> Iterator[Path]:
    for index, fs in enumerate(hc.storage.filesystems):
        if fs.source is FileSystemSource.NEW and fs.effective_type not in _CREATED:
            yield ("storage", "filesystems", index, "type")


def _swap_elsewhere(hc: HostConfiguration) -> Iterator[Path]:
    partitions = {p.id for disk in hc.storage.disks for p in disk.partitions}
    for index, swap in enumerate(hc.storage.swap):
        if swap.device_id not in partitions:
            yield ("storage", "swap", index)


def _internal_flags(hc: HostConfiguration) -> Iterator[Path]:
    for name in _UNDONE_FLAGS:
        if hc.internal_params.flag(name):
            yield ("internalParams", name)


def _when(
    condition: Callable[[HostConfiguration], object], *path: str
) -> Callable[[HostConfiguration], Iterator[Path]]:
    """Used, at one fixed path, when `condition` holds."""
    return lambda hc: iter([path] if condition(hc) else [])


MISSING: Final = (
    Missing(
        "encrypted volumes",
        _when(lambda hc: hc.storage.encryption, "storage", "encryption"),
    ),
    Missing(
        "software RAID",
        _when(lambda hc: hc.storage.raid.software, "storage", "raid", "software"),
    ),
    Missing("verity devices", _when(lambda hc: hc.storage.verity, "storage", "verity")),
    Missing("adopted partitions", _adopted_partitions),
    Missing("adopted filesystems", _adopted_filesystems),
    Missing("this internal parameter", _internal_flags),
    Missing("new filesystems of this type", _new_filesystem_types),
    Missing("swap on anything but a partition", _swap_elsewhere),
)


def unsupported(hc: HostConfiguration) -> list[Finding]:
    """What `hc` asks for that cannot be done, in the order of the table."""
    return [
        Finding(
            code=CODE,
            message=f"this version does not support {missing.feature} yet",
            steps=path,
            hint="remove this from the Host Configuration, or use a version that supports it",
            kind=Kind.UNSUPPORTED_CONFIGURATION,
            error_code=CODE,
        )
        for missing in MISSING
        for path in missing.used(hc)
    ]
