"""The QEMU command line as a value."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from lab import qemu
from lab.firmware import Firmware

WIRING = qemu.Wiring(Path("/n.fd"), Path("/s"), Path("/q.sock"))
HARDWARE = qemu.Hardware(
    name="m",
    uuid="6f7d3c1e-5f0b-4e55-9f0e-2a1d7c0e77ab",
    disks=(qemu.Disk(Path("/d.raw"), "S1"),),
    nics=(qemu.Nic("52:54:00:00:00:01", "tap0"),),
)


def device(hardware: qemu.Hardware, name: str) -> str:
    argv = qemu.command_line(hardware, WIRING, "tcg")
    return next(word for word in argv if word.startswith(name))


def test_resets_restart_the_guest() -> None:
    assert "-no-reboot" not in qemu.command_line(HARDWARE, WIRING, "tcg")


def test_network_first_gives_the_nic_the_lower_boot_index() -> None:
    assert device(HARDWARE, "virtio-net-pci").endswith(",bootindex=1")
    assert device(HARDWARE, "virtio-blk-pci").endswith(",bootindex=101")


def test_disk_first_gives_the_disk_the_lower_boot_index() -> None:
    disk_first = replace(HARDWARE, boot_first=qemu.BootFirst.DISK)
    assert device(disk_first, "virtio-blk-pci").endswith(",bootindex=1")
    assert device(disk_first, "virtio-net-pci").endswith(",bootindex=101")


def test_a_firmware_that_is_told_nothing_gets_no_boot_index() -> None:
    untold = replace(HARDWARE, boot_first=qemu.BootFirst.FIRMWARE)
    assert "bootindex" not in " ".join(qemu.command_line(untold, WIRING, "tcg"))


def test_a_medium_that_comes_first_leaves_every_device_an_index_of_its_own() -> None:
    for bus in qemu.MediumBus:
        for first in (qemu.BootFirst.MEDIUM, qemu.BootFirst.DISK, qemu.BootFirst.NETWORK):
            hardware = replace(HARDWARE, medium=qemu.Medium(Path("/m.iso"), bus), boot_first=first)
            text = " ".join(qemu.command_line(hardware, WIRING, "tcg"))
            indices = re.findall(r"bootindex=(\d+)", text)
            assert sorted(map(int, indices)) == [1, 101, 201]
            assert re.findall(r"drive=medium\S*,bootindex=(\d+)", text) == [
                "1" if first is qemu.BootFirst.MEDIUM else "201"
            ]


def test_a_medium_is_never_written() -> None:
    for bus in qemu.MediumBus:
        hardware = replace(HARDWARE, medium=qemu.Medium(Path("/m.iso"), bus))
        drive = next(
            word for word in qemu.command_line(hardware, WIRING, "tcg") if "id=medium" in word
        )
        assert "readonly=on" in drive


def test_one_usb_controller_serves_disks_and_media() -> None:
    hardware = replace(
        HARDWARE,
        disks=(qemu.Disk(Path("/d"), "S", qemu.Bus.USB),),
        medium=qemu.Medium(Path("/m.iso"), qemu.MediumBus.USB),
    )
    assert " ".join(qemu.command_line(hardware, WIRING, "tcg")).count("qemu-xhci") == 1


def test_qemus_own_network_rom_stays_out_of_uefi_and_is_what_boots_bios() -> None:
    assert "romfile=" in device(HARDWARE, "virtio-net-pci")
    bios = replace(HARDWARE, firmware=Firmware.BIOS)
    assert "romfile" not in device(bios, "virtio-net-pci")
    assert "pflash" not in " ".join(qemu.command_line(bios, WIRING, "tcg"))


def test_secure_boot_has_system_management_mode_and_protected_flash() -> None:
    argv = qemu.command_line(replace(HARDWARE, firmware=Firmware.UEFI_SECURE_BOOT), WIRING, "tcg")
    assert "q35,smm=on" in argv
    assert "driver=cfi.pflash01,property=secure,value=on" in argv


def test_every_kind_of_disk_carries_its_serial() -> None:
    for bus in qemu.Bus:
        hardware = replace(HARDWARE, disks=(qemu.Disk(Path("/d"), "SER", bus),))
        argv = qemu.command_line(hardware, WIRING, "tcg")
        assert sum(",serial=SER" in word for word in argv) == 1


def test_a_medium_behind_a_url_is_read_over_http_and_never_written() -> None:
    medium = qemu.Medium("http://10.77.0.1:8080/iso/52-54-00-00-00-01.iso")
    argv = qemu.command_line(replace(HARDWARE, medium=medium), WIRING, "tcg")
    drive = next(word for word in argv if "id=medium" in word)
    assert "file.driver=http,file.url=http://10.77.0.1:8080/iso/52-54-00-00-00-01.iso," in drive
    assert "readonly=on" in drive
