from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from iso_builder.cosi.inventory import (
    LoaderEntry,
    Mount,
    Package,
    loader_entry,
    mounts,
    names_device,
    packages,
)


def test_only_installed_packages_count() -> None:
    status = (
        "Package: b\nStatus: install ok installed\nVersion: 1:2.3-4-5\nArchitecture: arm64\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1-1\nArchitecture: all\n\n"
        "Package: half\nStatus: install ok half-installed\nVersion: 1-1\nArchitecture: all\n\n"
        "Package: a\nStatus: hold ok installed\nVersion: 7\nArchitecture: riscv64\n"
        "Description: text\n Version: not a field\n\n\n"
        "Status: install ok installed\nVersion: 1\n"
    )
    assert packages(status) == (
        Package("a", "7", "0", "riscv64"),
        Package("b", "1:2.3-4", "5", "aarch64"),
    )


def test_lines_of_fstab_that_mount_nothing_are_skipped() -> None:
    text = "# /dev/x / ext4\n\nUUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw\nshort /x\n"
    assert mounts(text) == (Mount("UUID=1", PurePosixPath("/")),)


@pytest.mark.parametrize(
    ("device", "meant"),
    [
        ("UUID=c3d4-250d", True),
        ('LABEL="data"', True),
        ("PARTUUID=77", True),
        ("PARTLABEL=part", True),
        ("/dev/disk/by-uuid/C3D4-250D", True),
        ("/dev/disk/by-partlabel/part", True),
        ("UUID=other", False),
        ("LABEL=", False),
        ("/dev/sda1", False),
        ("tmpfs", False),
    ],
)
def test_an_fstab_line_means_the_file_system_it_names(device: str, meant: bool) -> None:
    mount = Mount(device, PurePosixPath("/data"))
    found = names_device(
        mount, uuid="C3D4-250D", label="data", partition_uuid="77", partition_label="part"
    )
    assert found is meant


def test_a_file_system_without_names_is_never_meant() -> None:
    mount = Mount("UUID=", PurePosixPath("/data"))
    assert not names_device(mount, uuid="", label="", partition_uuid="", partition_label="")


def test_loader_entries_are_of_two_kinds() -> None:
    text = "title Debian\n# note\nversion 6.1\nlinux /vmlinuz\noptions root=x\noptions quiet\n"
    assert loader_entry(text) == LoaderEntry(False, "root=x quiet", "6.1", "/vmlinuz")
    assert loader_entry("efi /EFI/Linux/a.efi\n") == LoaderEntry(True, "", "", "/EFI/Linux/a.efi")
