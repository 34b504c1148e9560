"""Finding out what is installed on a disk, with small file systems made for the purpose."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture, PartitionKind, guid
from agent.cosi import gpt
from agent.cosi.metadata import BootEntryType, BootloaderType
from agent.linux import probe
from iso_builder.cosi.installed_os import InstalledOs, examine
from iso_builder.cosi.rawdisk import Piece, RawDisk
from tests.tools.cosi import disks, filesystems
from tests.unit.cosi import images

pytestmark = pytest.mark.tools
ROOT = guid(PartitionKind.ROOT, Architecture.X86_64)
ROOT_FILES: dict[str, bytes] = {
    "etc/os-release": disks.OS_RELEASE.encode(),
    "var/lib/dpkg/status": disks.DPKG_STATUS.encode(),
}
GRUB: dict[str, bytes] = {"boot/grub/grub.cfg": b"menuentry"}


@pytest.fixture
def disk(tmp_path: Path) -> Callable[..., RawDisk]:
    """Makes a disk of partitions, each given as type and image file."""
    numbers = itertools.count(1)

    def make(*partitions: tuple[UUID, Path]) -> RawDisk:
        pieces = []
        for kind, image in partitions:
            number = next(numbers)
            entry = gpt.Partition(number, kind, UUID(int=number), 64, 127, 0, f"part{number}")
            size = image.stat().st_size
            pieces.append(Piece(entry, image, size, probe.signature(image)))
        table = gpt.parse(images.gpt_bytes([], 1024), 1024 * 512)
        return RawDisk(1024 * 512, table, tmp_path / "front", tuple(pieces))

    return make


Disk = Callable[..., RawDisk]


def refusal(found: RawDisk) -> str:
    with pytest.raises(TridentError) as caught:
        examine(found)
    assert caught.value.identifier == "unsupported-configuration/image-not-understood"
    assert caught.value.hint
    return caught.value.message


def entries(found: InstalledOs) -> list[tuple[BootEntryType, str, str]]:
    loader = found.bootloader.systemd_boot
    return [(entry.type, entry.path, entry.kernel) for entry in (loader.entries if loader else ())]


def test_grub_is_recognised_by_its_configuration(disk: Disk, tmp_path: Path) -> None:
    root = filesystems.ext(tmp_path / "root", ROOT_FILES | GRUB)
    found = examine(disk((gpt.ESP, filesystems.fat(tmp_path / "esp", {})), (ROOT, root)))
    assert found.bootloader.type is BootloaderType.GRUB
    assert [str(entry.mount_point) for entry in found.filesystems] == ["/boot/efi", "/"]


def test_grub_on_the_esp_alone_is_recognised_too(disk: Disk, tmp_path: Path) -> None:
    esp = filesystems.fat(tmp_path / "esp", {"EFI/BOOT/grubx64.efi": b"x"})
    root = filesystems.ext(tmp_path / "root", ROOT_FILES)
    assert examine(disk((gpt.ESP, esp), (ROOT, root))).bootloader.type is BootloaderType.GRUB


def test_a_separate_boot_partition_holds_grub(disk: Disk, tmp_path: Path) -> None:
    root = filesystems.ext(tmp_path / "root", ROOT_FILES)
    boot = filesystems.ext(tmp_path / "boot", {"grub/grub.cfg": b"menuentry"})
    xbootldr = guid(PartitionKind.XBOOTLDR, Architecture.X86_64)
    found = examine(
        disk((gpt.ESP, filesystems.fat(tmp_path / "esp", {})), (xbootldr, boot), (ROOT, root))
    )
    assert found.bootloader.type is BootloaderType.GRUB
    assert [str(entry.mount_point) for entry in found.filesystems][1] == "/boot"


def test_loader_entries_and_ukis_are_told(disk: Disk, tmp_path: Path) -> None:
    esp = filesystems.fat(
        tmp_path / "esp",
        {
            "EFI/Linux/b.efi": images.uki_bytes("ro", "6.2"),
            "EFI/Linux/A.EFI": images.uki_bytes("ro", None),
            "EFI/Linux/note.txt": b"x",
            "loader/entries/old.conf": b"version 5.0\nlinux /vmlinuz\noptions ro\n",
            "loader/entries/uki.conf": b"efi /EFI/Linux/b.efi\n",
        },
    )
    found = examine(disk((gpt.ESP, esp), (ROOT, filesystems.ext(tmp_path / "root", ROOT_FILES))))
    assert entries(found) == [
        (BootEntryType.UKI_STANDALONE, "/boot/efi/EFI/Linux/A.EFI", "6.1.0-13-amd64"),
        (BootEntryType.UKI_STANDALONE, "/boot/efi/EFI/Linux/b.efi", "6.2"),
        (BootEntryType.CONFIG, "/boot/efi/loader/entries/old.conf", "5.0"),
        (BootEntryType.UKI_CONFIG, "/boot/efi/loader/entries/uki.conf", "6.2"),
    ]


def test_a_damaged_uki_is_refused(disk: Disk, tmp_path: Path) -> None:
    esp = filesystems.fat(tmp_path / "esp", {"EFI/Linux/a.efi": b"MZ damaged"})
    root = filesystems.ext(tmp_path / "root", ROOT_FILES)
    with pytest.raises(TridentError, match="no PE file"):
        examine(disk((gpt.ESP, esp), (ROOT, root)))


def test_the_architecture_follows_the_partition_type_or_the_packages(
    disk: Disk, tmp_path: Path
) -> None:
    root = filesystems.ext(tmp_path / "root", ROOT_FILES | GRUB)
    esp = filesystems.fat(tmp_path / "esp", {})
    arm = guid(PartitionKind.ROOT, Architecture.AARCH64)
    assert examine(disk((gpt.ESP, esp), (arm, root))).architecture is Architecture.AARCH64
    generic = disk((gpt.ESP, esp), (gpt.LINUX_DATA, root))
    assert examine(generic).architecture is Architecture.X86_64


def test_without_packages_of_a_known_architecture_it_must_be_named(
    disk: Disk, tmp_path: Path
) -> None:
    root = filesystems.ext(tmp_path / "root", ROOT_FILES | GRUB | {"var/lib/dpkg/status": b"\n"})
    esp = filesystems.fat(tmp_path / "esp", {})
    assert "architecture" in refusal(disk((gpt.ESP, esp), (gpt.LINUX_DATA, root)))


def test_what_cosi_must_tell_and_the_image_does_not_is_an_error(disk: Disk, tmp_path: Path) -> None:
    esp = filesystems.fat(tmp_path / "esp", {})
    root = filesystems.ext(tmp_path / "root", ROOT_FILES | GRUB)
    bare = filesystems.ext(tmp_path / "bare", {"etc/os-release": b"ID=x\n"})
    unbootable = filesystems.ext(tmp_path / "unbootable", ROOT_FILES)
    verity = guid(PartitionKind.ROOT_VERITY, Architecture.X86_64)
    assert "no partition holds an OS" in refusal(disk((gpt.ESP, esp)))
    assert "no package database" in refusal(disk((gpt.ESP, esp), (ROOT, bare)))
    assert "no EFI system partition" in refusal(disk((ROOT, root)))
    assert "no boot loader" in refusal(disk((gpt.ESP, esp), (ROOT, unbootable)))
    assert "verity" in refusal(disk((gpt.ESP, esp), (ROOT, root), (verity, bare)))
