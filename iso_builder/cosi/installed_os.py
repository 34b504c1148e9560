"""The OS inside a disk: which file system is which, what is installed, how it boots."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from uuid import UUID

from agent.api.parttypes import ACL_USR, Architecture, PartitionKind, guid, kind_of
from agent.cosi.metadata import Bootloader, FsType
from iso_builder.cosi import bootentries, imagefs, inventory, rpmdb, verity
from iso_builder.cosi.imagefs import ImageFs
from iso_builder.cosi.rawdisk import Piece, RawDisk
from iso_builder.cosi.refusal import not_understood
from iso_builder.cosi.systemtree import Branch, SystemTree
from iso_builder.cosi.verity import VerityPair

ROOT = PurePosixPath("/")
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_DPKG_STATUS = "/var/lib/dpkg/status"
_RPM_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_RPM_OTHER = ("Packages", "Packages.db")
"""RPM's databases before `rpmdb.sqlite`: Berkeley and ndb."""
_ESP_FOLDERS = ("/boot/efi", "/efi")
_MOUNT_POINTS = {
    PartitionKind.XBOOTLDR: "/boot",
    PartitionKind.HOME: "/home",
    PartitionKind.SRV: "/srv",
    PartitionKind.USR: "/usr",
    PartitionKind.VAR: "/var",
    PartitionKind.TMP: "/tmp",
}


@dataclass(frozen=True)
class Filesystem:
    """A file system the OS mounts. `mount_point` is where."""

    piece: Piece
    type: FsType
    uuid: str
    mount_point: PurePosixPath
    verity: VerityPair | None = None

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


def examine(disk: RawDisk, architecture: Architecture | None = None) -> InstalledOs:
    """Find out what is installed on `disk`; `architecture` None: as the image tells.

    Raises image-not-understood when something COSI must tell cannot be found out.
    """
    root = _root(disk.pieces)
    filesystems = _filesystems(disk.pieces, root)
    branches = [
        Branch(entry.mount_point, files)
        for entry in filesystems
        if (files := entry.piece.files) is not None
    ]
    tree = SystemTree(branches)
    packages = _packages(tree)
    boot = _boot(filesystems, branches)
    pairs = {pair.data.entry.number: pair for pair in verity.pairs(disk.pieces, boot.command_lines)}
    sealed = tuple(
        replace(entry, verity=pairs.pop(entry.piece.entry.number, None)) for entry in filesystems
    )
    for number in pairs:
        raise not_understood(
            f"partition {number} is opened by dm-verity and holds no file system that is known",
            f"COSI knows {', '.join(FsType)}",
        )
    return InstalledOs(
        release=_release(tree),
        architecture=architecture or _architecture(root, packages),
        packages=packages,
        filesystems=sealed,
        bootloader=boot.loader,
    )


def _root(pieces: Sequence[Piece]) -> Piece:
    """The partition with the root file system: os-release is on it, or leads from it to /usr."""
    for piece in pieces:
        files = piece.files
        if files is None or kind_of(piece.entry.type) is PartitionKind.ESP:
            continue
        if any(files.look(path) is not None for path in (*_OS_RELEASE, "/etc/fstab")):
            return piece
    raise not_understood(
        "no partition holds an OS (no /etc/os-release in any ext or XFS file system)",
        "the root file system must be ext2, ext3, ext4 or XFS",
    )


def _release(tree: SystemTree) -> str:
    text = tree.text(*_OS_RELEASE)
    if text is None:
        raise not_understood(
            "the root file system has an /etc and no os-release", "add /usr/lib/os-release"
        )
    return text


def _filesystems(pieces: Sequence[Piece], root: Piece) -> tuple[Filesystem, ...]:
    files = root.files
    text = imagefs.read_text(files, "/etc/fstab") if files is not None else None
    fstab = inventory.mounts(text or "")
    points = {piece.entry.number: _told(piece, fstab) for piece in pieces}
    points[root.entry.number] = ROOT
    for piece in pieces:
        usual = _usual(piece, files)
        if points[piece.entry.number] is None and usual not in points.values():
            points[piece.entry.number] = usual
    found = []
    for piece in pieces:
        point, signature = points[piece.entry.number], piece.signature
        if point is None or signature.filesystem not in set(FsType) or signature.uuid is None:
            continue
        found.append(Filesystem(piece, FsType(signature.filesystem), signature.uuid, point))
    _check_uuids(found)
    if not any(kind_of(entry.part_type) is PartitionKind.ESP for entry in found):
        raise not_understood(
            "there is no EFI system partition with a FAT file system",
            "give the disk an ESP: images are booted by UEFI",
        )
    return tuple(found)


def _check_uuids(filesystems: Sequence[Filesystem]) -> None:
    for uuid, count in Counter(entry.uuid.lower() for entry in filesystems).items():
        if count > 1:
            raise not_understood(
                f"{count} file systems have the UUID {uuid}",
                "give one of them another: tune2fs -U random, xfs_admin -U generate, mlabel -n",
            )


def _told(piece: Piece, fstab: Sequence[inventory.Mount]) -> PurePosixPath | None:
    """Where fstab mounts a partition."""
    for mount in fstab:
        if inventory.names_device(
            mount,
            uuid=piece.signature.uuid or "",
            label=piece.signature.label or "",
            partition_uuid=str(piece.entry.guid),
            partition_label=piece.entry.name,
        ):
            return mount.mount_point
    return None


def _usual(piece: Piece, root: ImageFs | None) -> PurePosixPath | None:
    """Where a partition of this type goes when fstab says nothing."""
    if piece.entry.type == ACL_USR:
        return PurePosixPath("/usr")
    kind = kind_of(piece.entry.type)
    if kind is PartitionKind.ESP:
        return _esp_folder(root)
    return PurePosixPath(_MOUNT_POINTS[kind]) if kind in _MOUNT_POINTS else None


def _esp_folder(root: ImageFs | None) -> PurePosixPath:
    """The folder that waits for the ESP; systemd-gpt-auto-generator(8) knows /efi and /boot."""
    for folder in _ESP_FOLDERS:
        if root is not None and imagefs.is_folder(root, folder):
            return PurePosixPath(folder)
    if root is not None and _is_empty(root, "/boot"):
        return PurePosixPath("/boot")
    return PurePosixPath(_ESP_FOLDERS[0])


def _is_empty(files: ImageFs, folder: str) -> bool:
    if not imagefs.is_folder(files, folder):
        return False
    return not files.names(folder) and not files.folders(folder)


def _packages(tree: SystemTree) -> tuple[inventory.Package, ...]:
    """What is installed, by the database that has something in it: dpkg's or RPM's."""
    status = tree.text(_DPKG_STATUS)
    packages = inventory.packages(status or "")
    if packages:
        return packages
    for folder in _RPM_FOLDERS:
        found = _rpm_packages(tree, folder)
        if found is not None:
            return found
    if status is None:
        raise not_understood(
            f"there is no package database ({_DPKG_STATUS} or rpmdb.sqlite in "
            f"{' or '.join(_RPM_FOLDERS)})",
            "the databases of dpkg and RPM (4.16 and later) are read",
        )
    return packages


def _rpm_packages(tree: SystemTree, folder: str) -> tuple[inventory.Package, ...] | None:
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "rpmdb.sqlite"
        if tree.copy_out(f"{folder}/rpmdb.sqlite", database):
            # What was written last may still be in the write-ahead log.
            tree.copy_out(f"{folder}/rpmdb.sqlite-wal", Path(scratch) / "rpmdb.sqlite-wal")
            return rpmdb.packages(database)
        for name in _RPM_OTHER:
            if tree.copy_out(f"{folder}/{name}", Path(scratch) / name):
                raise not_understood(
                    f"the RPM database {folder}/{name} is in an old format",
                    "rebuild it as SQLite in the image: "
                    "rpmdb --rebuilddb --define '_db_backend sqlite'",
                )
    return None


def _architecture(root: Piece, packages: tuple[inventory.Package, ...]) -> Architecture:
    for architecture in Architecture:
        if root.entry.type == guid(PartitionKind.ROOT, architecture):
            return architecture
    for package in packages:
        if package.arch in set(Architecture):
            return Architecture(package.arch)
    raise not_understood("the architecture cannot be told", "name it by --arch")


def _boot(filesystems: Sequence[Filesystem], branches: Sequence[Branch]) -> bootentries.Boot:
    of_kind = {
        kind_of(entry.part_type): branch
        for entry in filesystems
        for branch in branches
        if branch.mount_point == entry.mount_point
    }
    esp = of_kind.get(PartitionKind.ESP)
    if esp is None:
        raise not_understood("the ESP has no FAT file system", "format it with mkfs.vfat")
    boot = of_kind.get(PartitionKind.XBOOTLDR)
    others = [branch for branch in branches if branch is not esp]
    return bootentries.examine(esp, boot, others)
