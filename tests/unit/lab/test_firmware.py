"""NVRAM files: read back what was written into the firmware's own template."""

from __future__ import annotations

from pathlib import Path

import pytest
from virt.firmware.efi import devpath
from virt.firmware.varstore import edk2

from lab import firmware
from lab.errors import LabError
from lab.firmware import OVMF, Firmware, Nvram
from tests.kit.tools import unavailable


@pytest.fixture
def nvram(tmp_path: Path) -> Path:
    if not OVMF.exists():
        unavailable("ovmf is not installed")
    path = tmp_path / "nvram.fd"
    firmware.create_nvram(Firmware.UEFI, path)
    return path


def with_entries(path: Path, *titles: str) -> None:
    store = edk2.Edk2VarStore(str(path))
    variables = store.get_varlist()
    for title in titles:
        index = variables.add_boot_entry(title, devpath.DevicePath.uri("http://10.77.0.1/x.efi"))
        variables.append_boot_order(index)
    store.write_varstore(str(path), variables)


def test_a_fresh_copy_holds_no_boot_entries(nvram: Path) -> None:
    assert firmware.read_nvram(nvram) == Nvram((), None, ())


def test_entries_come_back_in_boot_order(nvram: Path) -> None:
    with_entries(nvram, "disk", "UEFI PXEv4 (MAC:525400770001)")
    assert [entry.title for entry in firmware.read_nvram(nvram).ordered()] == [
        "disk",
        "UEFI PXEv4 (MAC:525400770001)",
    ]


def test_network_entries_move_to_the_front(nvram: Path) -> None:
    with_entries(nvram, "disk", "UEFI PXEv4 (MAC:525400770001)")
    firmware.put_network_first(nvram)
    assert firmware.read_nvram(nvram).boot_order == (1, 0)


def test_a_machine_that_never_started_has_no_network_entry_to_move(nvram: Path) -> None:
    with pytest.raises(LabError, match="never started"):
        firmware.put_network_first(nvram)


def test_a_boot_uri_is_used_at_the_next_start_only(nvram: Path) -> None:
    firmware.set_boot_uri(nvram, "http://10.77.0.1:8080/artifacts/x86_64/snponly.efi")
    read = firmware.read_nvram(nvram)
    assert read.boot_next is not None
    assert read.boot_order == ()
    assert "snponly.efi" in read.entries[0].path
