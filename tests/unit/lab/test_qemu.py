"""The QEMU command line as a value."""

from __future__ import annotations

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


def test_resets_restart_the_guest():
    assert "-no-reboot" not in qemu.command_line(HARDWARE, WIRING, "tcg")


def test_network_first_gives_the_nic_the_lower_boot_index():
    assert device(HARDWARE, "virtio-net-pci").endswith(",bootindex=1")
    assert device(HARDWARE, "virtio-blk-pci").endswith(",bootindex=101")


def test_disk_first_gives_the_disk_the_lower_boot_index():
    disk_first = replace(HARDWARE, boot_first=qemu.BootFirst.DISK)
    assert device(disk_first, "virtio-blk-pci").endswith(",bootindex=1")
    assert device(disk_first, "virtio-net-pci").endswith(",bootindex=101")


def test_a_firmware_that_is_told_nothing_gets_no_boot_index():
    untold = replace(HARDWARE, boot_first=qemu.BootFirst.FIRMWARE)
    assert "bootindex" not in " ".join(qemu.command_line(untold, WIRING, "tcg"))


def test_qemus_own_network_rom_stays_out_of_uefi_and_is_what_boots_bios():
    assert "romfile=" in device(HARDWARE, "virtio-net-pci")
    bios = replace(HARDWARE, firmware=Firmware.BIOS)
    assert "romfile" not in device(bios, "virtio-net-pci")
    assert "pflash" not in " ".join(qemu.command_line(bios, WIRING, "tcg"))


def test_secure_boot_has_system_management_mode_and_protected_flash():
    argv = qemu.command_line(replace(HARDWARE, firmware=Firmware.UEFI_SECURE_BOOT), WIRING, "tcg")
    assert "q35,smm=on" in argv
    assert "driver=cfi.pflash01,property=secure,value=on" in argv


def test_every_kind_of_disk_carries_its_serial():
    for bus in qemu.Bus:
        hardware = replace(HARDWARE, disks=(qemu.Disk(Path("/d"), "SER", bus),))
        argv = qemu.command_line(hardware, WIRING, "tcg")
        assert sum(",serial=SER" in word for word in argv) == 1
