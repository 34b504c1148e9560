"""Power, reset and shutdown of a machine, with QEMU and guests of one boot sector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import network, qemu, waiting
from lab.errors import InfrastructureFailed
from lab.firmware import Firmware
from lab.machine import Machine, plugged_in

pytestmark = pytest.mark.tools

PRINT_A = bytes.fromhex("ba f803 b0 41 ee")
RESET = bytes.fromhex("b0 fe e6 64")
"""By the keyboard controller."""
SHUT_DOWN = bytes.fromhex("ba 0406 b8 0020 ef")
"""By ACPI, where SeaBIOS puts it on q35."""
A_MOMENT = bytes.fromhex("66 b9 00000040 67 e2 fd")
"""Counting down 2^30, so that QEMU's socket is seen before it ends."""
STOP = bytes.fromhex("f4 eb fd")


@contextmanager
def machine(folder: Path, code: bytes) -> Iterator[Machine]:
    disk = folder / "disk.raw"
    disk.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    hardware = qemu.Hardware(
        name="m",
        uuid="6f7d3c1e-5f0b-4e55-9f0e-2a1d7c0e77ab",
        firmware=Firmware.BIOS,
        memory_mib=64,
        disks=(qemu.Disk(disk, "S1", qemu.Bus.AHCI),),
        boot_first=qemu.BootFirst.DISK,
    )
    with network.rack() as rack, plugged_in(hardware, folder, rack) as made:
        yield made


def printed(one: Machine, times: int) -> None:
    log = one.console.log
    waiting.until(lambda: log.read_bytes().count(b"A") >= times, limit_s=60, what="the letters")


def test_a_machine_that_resets_itself_starts_again_and_stays_on(tmp_path: Path) -> None:
    with machine(tmp_path, PRINT_A + RESET + STOP) as one:
        one.power_on()
        printed(one, 3)
        assert one.is_on
        assert one.power_ons == 1
        one.power_cut()
        assert not one.is_on


def test_the_reset_button_starts_it_again(tmp_path: Path) -> None:
    with machine(tmp_path, PRINT_A + STOP) as one:
        one.power_on()
        printed(one, 1)
        one.reset()
        printed(one, 2)
        with one.qmp() as qmp:
            status = qmp.execute("query-status")
        assert isinstance(status, dict)
        assert status["running"]


def test_a_machine_that_shuts_down_is_off_and_can_be_switched_on_again(tmp_path: Path) -> None:
    with machine(tmp_path, PRINT_A + A_MOMENT + SHUT_DOWN + STOP) as one:
        for times in (1, 2):
            one.power_on()
            waiting.until(lambda: not one.is_on, limit_s=60, what="the machine to go off")
            printed(one, times)
        with pytest.raises(InfrastructureFailed):
            one.qmp()


def test_typing_into_a_machine_that_resets_is_no_error(tmp_path: Path) -> None:
    with machine(tmp_path, PRINT_A + RESET + STOP) as one:
        one.power_on()
        for _ in range(40):
            one.console.type("x")
            waiting.until(lambda: True, limit_s=1, what="a moment")
        printed(one, 3)
