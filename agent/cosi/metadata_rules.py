"""The rules that each version of COSI metadata adds to the models' shapes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from agent.cosi.metadata_model import (
    V1_0,
    V1_1,
    V1_2,
    BootloaderType,
    CosiMetadata,
    RegionType,
    Version,
)

IMAGES: Final = "images/"


def _unique_mount_points(metadata: CosiMetadata) -> str | None:
    seen: set[PurePosixPath] = set()
    for image in metadata.images:
        if image.mount_point in seen:
            return f"mount point '{image.mount_point}' is used by two filesystems"
        seen.add(image.mount_point)
    return None


def _one_esp(metadata: CosiMetadata) -> str | None:
    count = sum(image.is_esp for image in metadata.images)
    return None if count == 1 else f"expected exactly one ESP filesystem, found {count}"


def _bootloader(metadata: CosiMetadata) -> str | None:
    loader = metadata.bootloader
    if loader is None:
        return "'bootloader' is required from version 1.1 on"
    if loader.type is BootloaderType.GRUB:
        return "bootloader 'grub' cannot have systemdBoot" if loader.systemd_boot else None
    if loader.systemd_boot is None or not loader.systemd_boot.entries:
        return "bootloader 'systemd-boot' needs systemdBoot with entries"
    return None


def _packages(metadata: CosiMetadata) -> str | None:
    if metadata.os_packages is None:
        if metadata.is_acl:
            return None
        return "'osPackages' is required from version 1.1 on"
    for package in metadata.os_packages:
        if package.release is None or package.arch is None:
            missing = "release" if package.release is None else "arch"
            return f"package '{package.name}' has no '{missing}'"
    return None


def _member_folder(metadata: CosiMetadata) -> str | None:
    regions = metadata.disk.gpt_regions if metadata.disk else ()
    for file in (*metadata.files(), *(region.image for region in regions)):
        if not file.path.startswith(IMAGES) or file.path == IMAGES:
            return f"image file '{file.path}' is not in the folder '{IMAGES}'"
    return None


def _disk(metadata: CosiMetadata) -> str | None:
    if metadata.compression is None:
        return "'compression' is required from version 1.2 on"
    disk = metadata.disk
    if disk is None:
        return "'disk' is required from version 1.2 on"
    if disk.lba_size not in (512, 4096):
        return f"disk.lbaSize {disk.lba_size} is neither 512 nor 4096"
    if not disk.gpt_regions or disk.gpt_regions[0].type is not RegionType.PRIMARY_GPT:
        return "the first of disk.gptRegions must be the primary GPT"
    if any(region.type is RegionType.PRIMARY_GPT for region in disk.gpt_regions[1:]):
        return "disk.gptRegions has more than one primary GPT"
    return None


def _partition_numbers(metadata: CosiMetadata) -> str | None:
    seen: set[int] = set()
    for region in metadata.disk.gpt_regions[1:] if metadata.disk else ():
        if region.number is None or region.number < 1:
            return f"the region of '{region.image.path}' needs a partition number of at least 1"
        if region.number in seen:
            return f"partition number {region.number} is used twice"
        seen.add(region.number)
    return None


def _sections_agree(metadata: CosiMetadata) -> str | None:
    """A hash tree may lack a partition: the specification's own example has one that does."""
    regions = metadata.disk.gpt_regions[1:] if metadata.disk else ()
    partitions = {region.image.path: region.image for region in regions}
    for image in metadata.images:
        if image.image.path not in partitions:
            return f"image file '{image.image.path}' belongs to no partition"
    for file in metadata.files():
        if partitions.get(file.path, file) != file:
            return f"image file '{file.path}' is described differently in 'images' and 'disk'"
    return None


Rule = Callable[[CosiMetadata], str | None]
"""Says what is wrong, None if nothing is."""

RULES: Final[tuple[tuple[Version, Rule], ...]] = (
    (V1_0, _unique_mount_points),
    (V1_0, _one_esp),
    (V1_1, _bootloader),
    (V1_1, _packages),
    (V1_2, _member_folder),
    (V1_2, _disk),
    (V1_2, _partition_numbers),
    (V1_2, _sections_agree),
)
