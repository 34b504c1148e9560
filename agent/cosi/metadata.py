"""COSI metadata (`metadata.json` of a COSI file), versions 1.0, 1.1 and 1.2.

Frozen models, strict in what they know and silent about fields they do not: a newer 1.x document
stays readable. The rules that a version adds are in `_RULES`. Pure; no I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from agent.api import osrelease
from agent.api.errors import Kind, TridentError
from agent.api.model import CONTRACT, HostPath, Model, Sha384
from agent.api.parttypes import Architecture, PartitionKind, kind_of

MAX_BYTES: Final = 16 << 20
IMAGES: Final = "images/"
_ACL_VARIANT: Final = "azurecontainerlinux"
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


def _version(value: object) -> object:
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
    version: Annotated[Version, BeforeValidator(_version), PlainSerializer(str)]
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
        return bool(loader and loader.entries[0].type is BootEntryType.UKI_STANDALONE)

    @property
    def os_id(self) -> str:
        return osrelease.parse(self.os_release).get("ID", "linux")

    @property
    def variant_id(self) -> str | None:
        return osrelease.parse(self.os_release).get("VARIANT_ID")

    def files(self) -> Iterator[ImageFile]:
        """Files of the filesystems and their hash trees."""
        for image in self.images:
            yield image.image
            if image.verity:
                yield image.verity.image


def parse(data: bytes, *, minimum: Version = V1_0) -> CosiMetadata:
    """Read metadata.json. `minimum` is the version that the caller needs.

    Raises TridentError invalid-input/load-cosi.
    """
    if len(data) > MAX_BYTES:
        raise _refused(f"it is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        version = _peek_version(json.loads(text, object_pairs_hook=_unique, parse_constant=_no))
    except RecursionError as error:
        raise _refused("it is nested too deeply") from error
    except ValueError as error:
        raise _refused(f"it is not JSON: {error}") from error
    if version is not None and version.major != 1:
        raise _refused(
            f"version {version} is not supported, only 1.x is",
            "use an image of COSI version 1, or an agent that knows this version",
        )
    try:
        metadata = CosiMetadata.model_validate_json(text)
    except ValidationError as error:
        raise _refused(_describe(error)) from error
    if metadata.version < minimum:
        raise _refused(f"version {metadata.version} is too old, {minimum} is needed")
    for since, rule in _RULES:
        if metadata.version >= since and (reason := rule(metadata)) is not None:
            raise _refused(reason)
    return metadata


def dump(metadata: CosiMetadata) -> bytes:
    """The metadata as JSON; `parse(dump(x)) == x`."""
    return metadata.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{repeated}' is given twice")
    return fields


def _no(constant: str) -> object:
    raise ValueError(f"{constant} is not a number")


def _peek_version(document: object) -> Version | None:
    """The version of a document that may not be readable as a whole."""
    text = document.get("version") if isinstance(document, dict) else None
    match = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", text) if isinstance(text, str) else None
    return Version(int(match[1]), int(match[2])) if match else None


def _refused(reason: str, hint: str | None = None) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "load-cosi",
        f"the image's metadata cannot be used: {reason}",
        hint=hint or "rebuild the image; its metadata.json does not follow the COSI specification",
    )


def _describe(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(step) for step in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{path}: {message}{more}"


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
        if metadata.variant_id == _ACL_VARIANT:
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
_RULES: Final[tuple[tuple[Version, Rule], ...]] = (
    (V1_0, _unique_mount_points),
    (V1_0, _one_esp),
    (V1_1, _bootloader),
    (V1_1, _packages),
    (V1_2, _member_folder),
    (V1_2, _disk),
    (V1_2, _partition_numbers),
    (V1_2, _sections_agree),
)
