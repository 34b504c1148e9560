"""What boot files, directories and entries are called. Pure.

Upstream's names: directory and firmware entry `AZLA`/`AZLB`, for the second installation on the
same ESP `AZL2A`/`AZL2B`; UKIs `vmlinuz-100-azla0.efi`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture
from agent.api.status import AbVolume

EFI = "EFI"
FALLBACK_DIRECTORY = f"{EFI}/BOOT"
UKI_DIRECTORY = f"{EFI}/Linux"
STAGED_UKI = "vmlinuz-0.efi.staged"
ADDONS_SUFFIX = ".extra.d"
GRUB_CONFIG = "grub.cfg"
_FIRST_UKI_NUMBER = 100
_MAX_INSTALLATIONS = 1000
_DIRECTORY = re.compile(r"AZL([2-9]|[1-9]\d+)?([AB])")
_UKI = re.compile(r"vmlinuz-(\d+)-(azl[ab])(\d+)\.efi", re.IGNORECASE)
_SUFFIX = {Architecture.X86_64: "x64", Architecture.AARCH64: "aa64"}


@dataclass(frozen=True)
class Uki:
    """A unified kernel image that the agent manages, by its file name."""

    file_name: str
    number: int
    """Higher is newer."""
    slot: str
    """`azla0`: side and install index."""


def directory(index: int, volume: AbVolume) -> str:
    """Name of the directory below EFI, and label of the firmware's boot entry."""
    ordinal = str(index + 1) if index else ""
    return f"AZL{ordinal}{'A' if volume is AbVolume.A else 'B'}"


def parse_directory(name: str) -> tuple[int, AbVolume] | None:
    """Install index and side of a directory or boot entry; None when it is not the agent's."""
    found = _DIRECTORY.fullmatch(name)
    if found is None:
        return None
    index = int(found[1]) - 1 if found[1] else 0
    return (index, AbVolume.A if found[2] == "A" else AbVolume.B)


def boot_loader(architecture: Architecture) -> str:
    """File name of the first program that the firmware starts."""
    return f"boot{_SUFFIX[architecture]}.efi"


def second_stage(architecture: Architecture) -> str:
    """File name of what shim starts next: GRUB, or systemd-boot under GRUB's name."""
    return f"grub{_SUFFIX[architecture]}.efi"


def suffix(architecture: Architecture) -> str:
    """What the firmware's file names end in for this architecture: `x64`, `aa64`."""
    return _SUFFIX[architecture]


def loader_path(index: int, volume: AbVolume, architecture: Architecture) -> str:
    """Path of the first program on the ESP, as a firmware boot entry holds it."""
    return f"\\{EFI}\\{directory(index, volume)}\\{boot_loader(architecture)}"


def free_index(present: Iterable[str]) -> int:
    """The smallest install index of which neither directory is `present` below EFI.

    Raises unsupported-configuration/no-available-install-index.
    """
    taken = {name.upper() for name in present}
    for index in range(_MAX_INSTALLATIONS):
        if not taken & {directory(index, volume) for volume in AbVolume}:
            return index
    raise TridentError(
        Kind.UNSUPPORTED_CONFIGURATION,
        "no-available-install-index",
        f"the EFI system partition holds {_MAX_INSTALLATIONS} installations already",
        hint="remove the EFI/AZL* directories of installations that are gone",
    )


def uki_slot(index: int, volume: AbVolume) -> str:
    """The part of a UKI's file name that says whose it is."""
    return f"azl{'a' if volume is AbVolume.A else 'b'}{index}"


def parse_uki(file_name: str) -> Uki | None:
    """The UKI with this file name; None when it is not one of the agent's."""
    found = _UKI.fullmatch(file_name)
    if found is None:
        return None
    return Uki(file_name, int(found[1]), f"{found[2].lower()}{int(found[3])}")


def new_uki(present: Iterable[str], slot: str) -> str:
    """File name of the next UKI of `slot`: newer than all of other slots that are `present`."""
    others = [uki.number for uki in map(parse_uki, present) if uki and uki.slot != slot]
    return f"vmlinuz-{max([_FIRST_UKI_NUMBER - 1, *others]) + 1}-{slot}.efi"


def superseded_ukis(
    present: Iterable[str], target_slot: str, active_slot: str | None
) -> tuple[str, ...]:
    """The UKIs that go before a new one of `target_slot` is staged.

    Those of the slot itself; and the ones the agent did not name, once the active slot (of the
    first installation) has one of its own.
    """
    files = [name for name in present if name.lower().endswith(".efi")]
    managed = {name: parse_uki(name) for name in files}
    gone = [name for name, uki in managed.items() if uki and uki.slot == target_slot]
    first_installation = target_slot in (uki_slot(0, volume) for volume in AbVolume)
    owns_active = any(uki and uki.slot == active_slot for uki in managed.values())
    if first_installation and owns_active:
        gone += [name for name, uki in managed.items() if uki is None]
    return tuple(gone)
