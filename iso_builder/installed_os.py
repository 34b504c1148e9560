"""The OS inside a raw disk: which file system is which, what is installed, how it boots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture, PartitionKind, guid, kind_of
from agent.cosi import pe
from agent.cosi.metadata import (
    BootEntry,
    BootEntryType,
    Bootloader,
    BootloaderType,
    FsType,
    SystemdBoot,
)
from iso_builder import inventory
from iso_builder.imagefs import ImageFs
from iso_builder.rawdisk import Piece, RawDisk

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_DPKG_STATUS = "/var/lib/dpkg/status"
_GRUB_CONFIGS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub/grub.cfg")
_UKI_FOLDER = "/EFI/Linux"
_ENTRY_FOLDER = "/loader/entries"
_MOUNT_POINTS = {
    PartitionKind.ESP: "/boot/efi",
    PartitionKind.XBOOTLDR: "/boot",
    PartitionKind.HOME: "/home",
    PartitionKind.SRV: "/srv",
    PartitionKind.VAR: "/var",
    PartitionKind.TMP: "/tmp",
}
_VERITY = (PartitionKind.ROOT_VERITY, PartitionKind.USR_VERITY)


@dataclass(frozen=True)
class Filesystem:
    """A file system the OS mounts. `mount_point` is where."""

    piece: Piece
    type: FsType
    uuid: str
    mount_point: PurePosixPath

    @property
    def part_type(self) -> UUID:
        return self.piece.entry.type


@dataclass(frozen=True)
class InstalledOs:
    """What the image's own files say."""

    release: str
    """The text of os-release."""
    architecture: Architecture
    packages: tuple[inventory.Package, ...]
    filesystems: tuple[Filesystem, ...]
    bootloader: Bootloader


def examine(disk: RawDisk) -> InstalledOs:
    """Find out what is installed on `disk`.

    Raises image-not-understood when something COSI must tell cannot be found out.
    """
    for piece in disk.pieces:
        if kind_of(piece.entry.type) in _VERITY:
            raise _not_understood(
                f"partition {piece.entry.number} holds a verity hash tree",
                "images with dm-verity cannot be made into COSI files by this version",
            )
    root, files, release = _root(disk)
    filesystems = _filesystems(disk, root, files)
    status = files.read(_DPKG_STATUS)
    if status is None:
        raise _not_understood(
            f"the root file system has no package database ({_DPKG_STATUS})",
            "only Debian's package database is read",
        )
    packages = inventory.packages(status.decode("utf-8", "replace"))
    return InstalledOs(
        release=release,
        architecture=_architecture(root, packages),
        packages=packages,
        filesystems=filesystems,
        bootloader=_bootloader(filesystems),
    )


def _root(disk: RawDisk) -> tuple[Piece, ImageFs, str]:
    """The partition with os-release on it, a reader of it, and that text."""
    for piece in disk.pieces:
        files = piece.files
        if files is None or kind_of(piece.entry.type) is PartitionKind.ESP:
            continue
        for path in _OS_RELEASE:
            if (text := files.read(path)) is not None:
                return piece, files, text.decode("utf-8", "replace")
    raise _not_understood(
        "no partition holds an OS (no /etc/os-release in any ext file system)",
        "the root file system must be ext2, ext3 or ext4",
    )


def _filesystems(disk: RawDisk, root: Piece, files: ImageFs) -> tuple[Filesystem, ...]:
    fstab = inventory.mounts((files.read("/etc/fstab") or b"").decode("utf-8", "replace"))
    found = []
    for piece in disk.pieces:
        signature = piece.signature
        point = PurePosixPath("/") if piece is root else _mount_point(piece, fstab)
        if point is None or signature.filesystem not in set(FsType) or signature.uuid is None:
            continue
        found.append(Filesystem(piece, FsType(signature.filesystem), signature.uuid, point))
    if not any(kind_of(entry.part_type) is PartitionKind.ESP for entry in found):
        raise _not_understood(
            "there is no EFI system partition with a FAT file system",
            "give the disk an ESP: images are booted by UEFI",
        )
    return tuple(found)


def _mount_point(piece: Piece, fstab: tuple[inventory.Mount, ...]) -> PurePosixPath | None:
    for mount in fstab:
        if inventory.names_device(
            mount,
            uuid=piece.signature.uuid or "",
            label=piece.signature.label or "",
            partition_uuid=str(piece.entry.guid),
            partition_label=piece.entry.name,
        ):
            return mount.mount_point
    kind = kind_of(piece.entry.type)
    return PurePosixPath(_MOUNT_POINTS[kind]) if kind in _MOUNT_POINTS else None


def _architecture(root: Piece, packages: tuple[inventory.Package, ...]) -> Architecture:
    for architecture in Architecture:
        if root.entry.type == guid(PartitionKind.ROOT, architecture):
            return architecture
    for package in packages:
        if package.arch in set(Architecture):
            return Architecture(package.arch)
    raise _not_understood("the architecture cannot be told", "name it by --arch")


def _bootloader(filesystems: tuple[Filesystem, ...]) -> Bootloader:
    """UKIs and loader entries on the ESP mean systemd-boot, otherwise it must be GRUB."""
    esp = next(entry for entry in filesystems if kind_of(entry.part_type) is PartitionKind.ESP)
    files = esp.piece.files
    entries = () if files is None else (*_ukis(files, esp), *_loader_entries(files, esp))
    if entries:
        return Bootloader(
            type=BootloaderType.SYSTEMD_BOOT, systemd_boot=SystemdBoot(entries=entries)
        )
    for entry in filesystems:
        reader = entry.piece.files
        if reader is not None and any(reader.read(path) is not None for path in _GRUB_CONFIGS):
            return Bootloader(type=BootloaderType.GRUB)
    if files is not None and any("grub" in name.lower() for name in files.names("/EFI/BOOT")):
        return Bootloader(type=BootloaderType.GRUB)
    raise _not_understood(
        "no boot loader is found",
        "the image needs GRUB with its grub.cfg, or unified kernel images in EFI/Linux of the ESP",
    )


def _ukis(files: ImageFs, esp: Filesystem) -> tuple[BootEntry, ...]:
    found = []
    for name in files.names(_UKI_FOLDER):
        data = files.read(f"{_UKI_FOLDER}/{name}") if name.lower().endswith(".efi") else None
        if data is None:
            continue
        uki = pe.parse_uki(data)
        found.append(
            BootEntry(
                type=BootEntryType.UKI_STANDALONE,
                path=f"{esp.mount_point}{_UKI_FOLDER}/{name}",
                cmdline=uki.cmdline,
                kernel=uki.kernel,
            )
        )
    return tuple(found)


def _loader_entries(files: ImageFs, esp: Filesystem) -> tuple[BootEntry, ...]:
    found = []
    for name in files.names(_ENTRY_FOLDER):
        data = files.read(f"{_ENTRY_FOLDER}/{name}") if name.lower().endswith(".conf") else None
        if data is None:
            continue
        entry = inventory.loader_entry(data.decode("utf-8", "replace"))
        found.append(
            BootEntry(
                type=BootEntryType.UKI_CONFIG if entry.is_uki else BootEntryType.CONFIG,
                path=f"{esp.mount_point}{_ENTRY_FOLDER}/{name}",
                cmdline=entry.cmdline,
                kernel=entry.kernel,
            )
        )
    return tuple(found)


def _not_understood(what: str, hint: str) -> TridentError:
    return TridentError(Kind.UNSUPPORTED_CONFIGURATION, "image-not-understood", what, hint=hint)
