"""Models of COSI metadata, versions 1.0 to 1.2: frozen, strict in what they know.

Fields they do not know are ignored, so that a newer 1.x document stays readable. Callers import
from `agent.cosi.metadata`, which reads documents. Pure; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final, NamedTuple
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

from agent.api import osrelease
from agent.api.model import CONTRACT, HostPath, Model, Sha384
from agent.api.parttypes import Architecture, PartitionKind, kind_of

_HYPHENATED: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ARCHITECTURES: Final = {
    "x64": Architecture.X86_64,
    "amd64": Architecture.X86_64,
    "x86_64": Architecture.X86_64,
    "arm64": Architecture.AARCH64,
    "aarch64": Architecture.AARCH64,
}


class Version(NamedTuple):
    """Version of the COSI specification."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


V1_0: Final = Version(1, 0)
V1_1: Final = Version(1, 1)
V1_2: Final = Version(1, 2)


def parse_version(value: object) -> Version:
    """Read `major.minor`. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a version such as 1.2")
    return Version(int(match[1]), int(match[2]))


def _architecture(value: object) -> object:
    known = _ARCHITECTURES.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise ValueError(f"'{value}' is not a known architecture")
    return known


def _member(value: str) -> str:
    parts = value.split("/")
    if value.startswith("/") or not value or ".." in parts or "\0" in value:
        raise ValueError(f"'{value}' is not the path of a member of the COSI file")
    return value


def _part_type(value: object) -> object:
    if not isinstance(value, str) or not _HYPHENATED.fullmatch(value):
        raise ValueError(f"'{value}' is not a partition type GUID")
    return UUID(value)


def _fs_uuid(value: str) -> str:
    """UUIDs compare in lower case; other ids (vfat's `C3D4-250D`) as they are."""
    return value.lower() if _HYPHENATED.fullmatch(value) else value


class _Lenient(Model):
    """Base of the metadata's models: unknown fields are ignored."""

    model_config = CONTRACT | ConfigDict(extra="ignore")


class FsType(StrEnum):
    """Filesystem types an image may hold."""

    EXT4 = "ext4"
    EXT3 = "ext3"
    EXT2 = "ext2"
    CRAMFS = "cramfs"
    SQUASHFS = "squashfs"
    VFAT = "vfat"
    MSDOS = "msdos"
    EXFAT = "exfat"
    ISO9660 = "iso9660"
    NTFS = "ntfs"
    BTRFS = "btrfs"
    XFS = "xfs"

    @property
    def is_ext(self) -> bool:
        return self in (FsType.EXT2, FsType.EXT3, FsType.EXT4)


class ImageFile(_Lenient):
    """A zstd-compressed member of the COSI file. `sha384` is that of the compressed bytes."""

    path: Annotated[str, AfterValidator(_member)]
    compressed_size: int = Field(ge=0, lt=1 << 64)
    uncompressed_size: int = Field(ge=0, lt=1 << 64)
    sha384: Sha384


class Verity(_Lenient):
    """The hash tree that belongs to a filesystem."""

    image: ImageFile
    roothash: str


class Image(_Lenient):
    """A filesystem of the OS."""

    image: ImageFile
    mount_point: HostPath
    fs_type: FsType
    fs_uuid: Annotated[str, Field(min_length=1), AfterValidator(_fs_uuid)]
    part_type: Annotated[UUID, BeforeValidator(_part_type)]
    verity: Verity | None = None

    @property
    def is_esp(self) -> bool:
        return kind_of(self.part_type) is PartitionKind.ESP


class OsPackage(_Lenient):
    name: str
    version: str
    release: str | None = None
    arch: str | None = None


class BootloaderType(StrEnum):
    GRUB = "grub"
    SYSTEMD_BOOT = "systemd-boot"


class BootEntryType(StrEnum):
    UKI_STANDALONE = "uki-standalone"
    UKI_CONFIG = "uki-config"
    CONFIG = "config"


class BootEntry(_Lenient):
    type: BootEntryType
    path: str
    cmdline: str
    kernel: str


class SystemdBoot(_Lenient):
    entries: tuple[BootEntry, ...]


class Bootloader(_Lenient):
    type: BootloaderType
    systemd_boot: SystemdBoot | None = None


class DiskType(StrEnum):
    GPT = "gpt"


class RegionType(StrEnum):
    PRIMARY_GPT = "primary-gpt"
    PARTITION = "partition"


class GptRegion(_Lenient):
    """A part of the original disk; `number` is the 1-based partition number."""

    image: ImageFile
    type: RegionType
    number: int | None = None


class Disk(_Lenient):
    """The disk that the image was taken from. Sizes in bytes."""

    size: int = Field(ge=0, lt=1 << 64)
    type: DiskType
    lba_size: int
    gpt_regions: tuple[GptRegion, ...] = ()


class Compression(_Lenient):
    max_window_log: int = Field(ge=0, lt=1 << 32)


class CosiMetadata(_Lenient):
    version: Annotated[Version, BeforeValidator(parse_version), PlainSerializer(str)]
    os_arch: Annotated[Architecture, BeforeValidator(_architecture)]
    os_release: str
    """Text of the image's os-release file."""
    images: tuple[Image, ...]
    os_packages: tuple[OsPackage, ...] | None = None
    id: UUID | None = None
    bootloader: Bootloader | None = None
    disk: Disk | None = None
    compression: Compression | None = None

    @property
    def esp(self) -> Image | None:
        """The ESP's image. `parse` makes sure there is at most one."""
        return next((image for image in self.images if image.is_esp), None)

    @property
    def filesystems(self) -> tuple[Image, ...]:
        """All images but the ESP's."""
        return tuple(image for image in self.images if not image.is_esp)

    @property
    def is_uki(self) -> bool:
        """Whether the first boot entry is a standalone unified kernel image."""
        loader = self.bootloader.systemd_boot if self.bootloader else None
        entries = loader.entries if loader else ()
        return bool(entries) and entries[0].type is BootEntryType.UKI_STANDALONE

    @property
    def os_id(self) -> str:
        return osrelease.parse(self.os_release).get("ID", "linux")

    @property
    def variant_id(self) -> str | None:
        return osrelease.parse(self.os_release).get("VARIANT_ID")

    @property
    def is_acl(self) -> bool:
        """Whether this is Azure Container Linux, whose images differ in known ways."""
        return self.variant_id == "azurecontainerlinux"

    def files(self) -> Iterator[ImageFile]:
        """Files of the filesystems and their hash trees."""
        for image in self.images:
            yield image.image
            if image.verity:
                yield image.verity.image
