"""The `storage` section of the Host Configuration: disks, arrays, volumes, filesystems.

Models only say what a document may look like; whether its parts fit together is decided by
`agent.check`. Device ids are names within the document, unique across all kinds of devices.
"""

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from agent.api.model import BlockDeviceId, HostPath, Model, Url
from agent.api.parttypes import PartitionKind, PartitionType
from agent.api.pcr import Pcr
from agent.api.units import PartitionSize

ROOT: Final = PurePosixPath("/")
DEFAULT_ESP_MOUNT: Final = PurePosixPath("/boot/efi")
DEFAULT_MOUNT_OPTIONS: Final = "defaults"


class PartitionTableType(StrEnum):
    GPT = "gpt"


class Partition(Model):
    """A partition to create."""

    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    type: PartitionType = PartitionKind.LINUX_GENERIC
    """Name or GUID of the partition type."""
    size: PartitionSize
    """Multiple of 4096 bytes, or `grow` for what is left."""
    uuid: UUID | None = None
    """PARTUUID; random by default."""
    label: str | None = None
    """GPT name; the id by default."""

    @property
    def effective_label(self) -> str:
        """The GPT name: the label, by default the id."""
        return self.id if self.label is None else self.label


class AdoptedPartition(Model):
    """A partition that exists and is kept, found by its GPT name or its UUID."""

    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    match_label: str | None = None
    """Its GPT name."""
    match_uuid: UUID | None = None
    """Its PARTUUID."""


class Disk(Model):
    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    device: HostPath
    """Path on the host; `/dev/disk/by-path/...` stays the same when disks are added."""
    partition_table_type: PartitionTableType
    """Always `gpt`."""
    partitions: tuple[Partition, ...]
    """Created in this order; everything else on the disk is lost."""
    adopted_partitions: tuple[AdoptedPartition, ...] = ()
    """Partitions that exist and are kept."""


class EncryptedVolume(Model):
    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    device_name: str
    """Name below /dev/mapper."""
    device_id: BlockDeviceId
    """What is encrypted: a partition or an array."""

    @property
    def device_path(self) -> PurePosixPath:
        return PurePosixPath("/dev/mapper") / self.device_name


class Encryption(Model):
    recovery_key_url: Url | None = None
    """`file:` URL of a key that also opens the volumes."""
    volumes: tuple[EncryptedVolume, ...]
    """LUKS2 volumes to create."""
    pcrs: tuple[Pcr, ...]
    """TPM registers that the volumes are sealed to."""
    clear_tpm_on_install: bool | None = None
    """Clear the TPM before a clean install."""


class RaidLevel(StrEnum):
    RAID0 = "raid0"
    RAID1 = "raid1"
    RAID5 = "raid5"
    RAID6 = "raid6"
    RAID10 = "raid10"


class SoftwareRaidArray(Model):
    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    name: str
    """Name below /dev/md."""
    level: RaidLevel
    """How data are spread; the ESP needs `raid1`."""
    devices: tuple[BlockDeviceId, ...]
    """Ids of the member partitions."""

    @property
    def device_path(self) -> PurePosixPath:
        return PurePosixPath("/dev/md") / self.name


class Raid(Model):
    software: tuple[SoftwareRaidArray, ...] = ()
    """Arrays of the md driver."""
    sync_timeout: Annotated[int, Field(ge=0)] | None = None
    """Seconds to wait for the arrays to be in sync."""


class AbVolumePair(Model):
    """Two volumes of which one is active; its id stands for whichever that is."""

    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    volume_a_id: BlockDeviceId
    """The volume that a clean install writes."""
    volume_b_id: BlockDeviceId
    """The volume that the first update writes."""


class AbUpdate(Model):
    volume_pairs: tuple[AbVolumePair, ...]
    """The pairs; all of them change sides together."""


class FileSystemSource(StrEnum):
    NEW = "new"
    ADOPTED = "adopted"
    IMAGE = "image"


class FileSystemType(StrEnum):
    EXT4 = "ext4"
    XFS = "xfs"
    VFAT = "vfat"
    NTFS = "ntfs"
    TMPFS = "tmpfs"
    AUTO = "auto"
    OVERLAY = "overlay"
    ISO9660 = "iso9660"

    @property
    def has_device(self) -> bool:
        """Whether the filesystem lives on a block device."""
        return self not in (FileSystemType.TMPFS, FileSystemType.OVERLAY)


_TYPES: Final = {
    FileSystemSource.NEW: tuple(
        t for t in FileSystemType if t not in (FileSystemType.AUTO, FileSystemType.ISO9660)
    ),
    FileSystemSource.ADOPTED: tuple(t for t in FileSystemType if t.has_device),
    FileSystemSource.IMAGE: (),
}
_DEFAULT_TYPE: Final = {
    FileSystemSource.NEW: FileSystemType.EXT4,
    FileSystemSource.ADOPTED: FileSystemType.AUTO,
    FileSystemSource.IMAGE: None,
}


class OverrideEspMount(StrEnum):
    """Whether a filesystem is the ESP: by its mount point, always, or never."""

    USE_DEFAULT = "use-default"
    OVERRIDE = "override"
    BLOCK = "block"


class MountPoint(Model):
    path: HostPath
    """Absolute path in the target."""
    options: str = DEFAULT_MOUNT_OPTIONS
    """As in fstab."""

    @property
    def option_list(self) -> tuple[str, ...]:
        return tuple(o for o in self.options.split(",") if o.strip())

    @property
    def read_only(self) -> bool:
        return "ro" in self.option_list

    @model_serializer(mode="wrap", when_used="json")
    def _short(self, handler: SerializerFunctionWrapHandler) -> str | dict[str, JsonValue]:
        if self.options == DEFAULT_MOUNT_OPTIONS and not self.model_extra:
            return str(self.path)
        form: dict[str, JsonValue] = handler(self)
        return form


def _mount_point(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


MountPointField = Annotated[
    MountPoint, BeforeValidator(_mount_point, json_schema_input_type=str | MountPoint)
]
"""A mount point; its path alone stands for one with default options."""


class FileSystem(Model):
    device_id: BlockDeviceId | None = None
    """What the filesystem is on; none for tmpfs."""
    source: FileSystemSource = FileSystemSource.IMAGE
    """Content from the image, newly made, or already there."""
    type: FileSystemType | None = None
    """For new (ext4 by default) and adopted (auto); the image says its own."""
    mount_point: MountPointField | None = None
    """Path, or path and options. Filesystems of the image are found by it."""
    override_esp_mount: OverrideEspMount = OverrideEspMount.USE_DEFAULT
    """Whether this is the ESP: if at /boot/efi, always, or never."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        allowed = _TYPES[self.source]
        if self.type is not None and self.type not in allowed:
            if not allowed:
                raise ValueError("a filesystem from the image takes its type from the image")
            names = ", ".join(allowed)
            raise ValueError(f"a filesystem with source '{self.source}' can be: {names}")
        return self

    @property
    def effective_type(self) -> FileSystemType | None:
        """The type with its default: ext4 for new, auto for adopted, None for image."""
        return self.type or _DEFAULT_TYPE[self.source]

    @property
    def mount_path(self) -> PurePosixPath | None:
        return self.mount_point.path if self.mount_point else None

    @property
    def is_root(self) -> bool:
        return self.mount_path == ROOT

    @property
    def is_esp(self) -> bool:
        """Whether this is the EFI system partition's filesystem."""
        match self.override_esp_mount:
            case OverrideEspMount.OVERRIDE:
                return True
            case OverrideEspMount.BLOCK:
                return False
            case OverrideEspMount.USE_DEFAULT:
                return self.mount_path == DEFAULT_ESP_MOUNT

    @property
    def read_only(self) -> bool:
        return self.mount_point is not None and self.mount_point.read_only


class VerityCorruptionOption(StrEnum):
    IO_ERROR = "io-error"
    IGNORE = "ignore"
    PANIC = "panic"
    RESTART = "restart"


class VerityDevice(Model):
    id: BlockDeviceId
    """Name that the rest of the document refers to it by."""
    name: str
    """Name below /dev/mapper; `root` or `usr`."""
    data_device_id: BlockDeviceId
    """What is verified."""
    hash_device_id: BlockDeviceId
    """The hash tree."""
    corruption_option: VerityCorruptionOption = VerityCorruptionOption.IO_ERROR
    """What the kernel does when data do not match."""

    @property
    def device_path(self) -> PurePosixPath:
        return PurePosixPath("/dev/mapper") / self.name

    @property
    def staging_device_path(self) -> PurePosixPath:
        """Where the device is opened while the new OS is being built."""
        return PurePosixPath("/dev/mapper") / f"{self.name}_new"


class Swap(Model):
    device_id: BlockDeviceId
    """A swap partition, or an encrypted volume on one."""


def _swap(value: object) -> object:
    return {"deviceId": value} if isinstance(value, str) else value


SwapField = Annotated[Swap, BeforeValidator(_swap, json_schema_input_type=BlockDeviceId | Swap)]
"""A swap device; its id alone stands for it."""


class Storage(Model):
    disks: tuple[Disk, ...] = ()
    """Disks to partition."""
    encryption: Encryption | None = None
    """Volumes whose key only this machine's TPM gives out."""
    raid: Raid = Raid.model_construct()
    """Arrays of partitions."""
    ab_update: AbUpdate | None = None
    """Pairs of volumes, so that an update is written beside the running OS."""
    filesystems: tuple[FileSystem, ...] = ()
    """What is made, written and mounted where."""
    verity: tuple[VerityDevice, ...] = ()
    """Read-only devices whose content is verified."""
    swap: tuple[SwapField, ...] = ()
    """Ids of swap partitions."""

    @property
    def volume_pairs(self) -> tuple[AbVolumePair, ...]:
        return self.ab_update.volume_pairs if self.ab_update else ()

    @property
    def encrypted_volumes(self) -> tuple[EncryptedVolume, ...]:
        return self.encryption.volumes if self.encryption else ()

    def verity_device(self, device_id: str | None) -> VerityDevice | None:
        """The verity device with this id."""
        return next((device for device in self.verity if device.id == device_id), None)
