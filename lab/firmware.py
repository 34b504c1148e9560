"""Firmware of a virtual machine: OVMF (with or without Secure Boot) or SeaBIOS, and its NVRAM.

OVMF keeps its variables in a private copy of the template beside the machine's disks; they are
read and changed only while the machine is off. Formats: UEFI 2.10 sections 3.1 (load options).
"""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from virt.firmware.efi import bootentry, devpath
from virt.firmware.varstore import edk2

from lab.errors import LabError

OVMF = Path("/usr/share/OVMF")
_NETWORK_MARKS = ("MAC(", "IPv4(", "PxeV4", "HTTPv4", "IPv6(")
_URI_ENTRY = 0x0099
"""Far from the numbers that the firmware gives its own entries."""


class Firmware(StrEnum):
    """What the machine starts with."""

    UEFI = "uefi"
    UEFI_SECURE_BOOT = "uefi-secureboot"
    BIOS = "bios"


_CODE = {
    Firmware.UEFI: ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    Firmware.UEFI_SECURE_BOOT: ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"),
}


@dataclass(frozen=True)
class BootEntry:
    """One `Boot####` variable."""

    number: int
    title: str
    path: str
    """Device path in text form."""

    @property
    def is_network(self) -> bool:
        return any(mark in self.path for mark in _NETWORK_MARKS) or "PXEv4" in self.title

    def to_json(self) -> dict[str, object]:
        return {"number": f"{self.number:04X}", "title": self.title, "path": self.path}


@dataclass(frozen=True)
class Nvram:
    """The boot variables of a powered-off machine."""

    boot_order: tuple[int, ...]
    boot_next: int | None
    entries: tuple[BootEntry, ...]

    def ordered(self) -> list[BootEntry]:
        """The entries of BootOrder, in that order; numbers without a variable are left out."""
        by_number = {entry.number: entry for entry in self.entries}
        return [by_number[number] for number in self.boot_order if number in by_number]

    def to_json(self) -> dict[str, object]:
        """JSON form: four upper-case hexadecimal digits name an entry, as in efibootmgr."""
        return {
            "bootOrder": [f"{number:04X}" for number in self.boot_order],
            "bootNext": None if self.boot_next is None else f"{self.boot_next:04X}",
            "entries": [entry.to_json() for entry in self.entries],
        }


def create_nvram(firmware: Firmware, path: Path) -> None:
    """Copy the firmware's variable template to `path`. Nothing to do for SeaBIOS.

    Raises LabError when OVMF is not installed.
    """
    if firmware is Firmware.BIOS:
        return
    code, template = (OVMF / name for name in _CODE[firmware])
    if not code.exists() or not template.exists():
        raise LabError(f"{code} is missing", hint="apt-get install ovmf")
    shutil.copyfile(template, path)


def qemu_arguments(firmware: Firmware, nvram: Path) -> list[str]:
    """QEMU's arguments for this firmware (none for SeaBIOS, its default)."""
    if firmware is Firmware.BIOS:
        return []
    arguments = [
        "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF / _CODE[firmware][0]}",
        "-drive", f"if=pflash,format=raw,unit=1,file={nvram}",
    ]  # fmt: skip
    if firmware is Firmware.UEFI_SECURE_BOOT:
        arguments += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    return arguments


def machine_type(firmware: Firmware) -> str:
    """QEMU's `-machine` value: Secure Boot needs system management mode."""
    return "q35,smm=on" if firmware is Firmware.UEFI_SECURE_BOOT else "q35"


def read_nvram(path: Path) -> Nvram:
    """Read the boot variables from a powered-off machine's NVRAM file."""
    variables = edk2.Edk2VarStore(str(path)).get_varlist()
    entries = []
    for name in sorted(variables):
        if len(name) == 8 and name.startswith("Boot") and _is_hex(name[4:]):
            entry = bootentry.BootEntry(data=variables[name].data)
            entries.append(BootEntry(int(name[4:], 16), str(entry.title), str(entry.devicepath)))
    following = _numbers(variables, "BootNext")
    return Nvram(
        boot_order=_numbers(variables, "BootOrder"),
        boot_next=following[0] if following else None,
        entries=tuple(entries),
    )


def put_network_first(path: Path) -> None:
    """Move the network entries to the front of BootOrder, as an operator would in the setup."""
    nvram = read_nvram(path)
    network = [entry.number for entry in nvram.ordered() if entry.is_network]
    if not network:
        raise LabError(f"{path} holds no network boot entry: the machine never started")
    rest = [number for number in nvram.boot_order if number not in network]
    store = edk2.Edk2VarStore(str(path))
    variables = store.get_varlist()
    variables["BootOrder"].set_boot_order([*network, *rest])
    store.write_varstore(str(path), variables)


def set_boot_uri(path: Path, uri: str) -> None:
    """Make the next start, once, fetch a loader from `uri` by UEFI HTTP boot."""
    store = edk2.Edk2VarStore(str(path))
    variables = store.get_varlist()
    variables.set_boot_entry(_URI_ENTRY, "trident-lab HTTP boot", devpath.DevicePath.uri(uri))
    variables.set_boot_next(_URI_ENTRY)
    store.write_varstore(str(path), variables)


def _numbers(variables: dict[str, object], name: str) -> tuple[int, ...]:
    data = getattr(variables.get(name), "data", b"")
    return struct.unpack(f"<{len(data) // 2}H", data)


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)
