"""Unified kernel images on the ESP: making room, giving the staged one its name, choosing it.

systemd-boot lists EFI/Linux/*.efi and boots LoaderEntryOneShot, else LoaderEntryDefault. A staged
image has no such name, so it cannot be booted by accident.
https://systemd.io/BOOT_LOADER_INTERFACE
"""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import efivars, files
from agent.subsystems.boot import names, tree

_ONE_SHOT = "LoaderEntryOneShot"
_DEFAULT = "LoaderEntryDefault"
_SELECTED = "LoaderEntrySelected"


def is_staged(esp: Path) -> bool:
    """Whether a UKI waits on the ESP for its name."""
    return (esp / names.UKI_DIRECTORY / names.STAGED_UKI).is_file()


def superseded(esp: Path, target_slot: str, active_slot: str | None) -> tuple[Path, ...]:
    """The UKIs to be removed before a new one of `target_slot` is staged."""
    directory = esp / names.UKI_DIRECTORY
    present = [path.name for path in tree.files(directory)]
    gone = names.superseded_ukis(present, target_slot, active_slot)
    return tuple(directory / name for name in gone)


def remove(uki: Path) -> None:
    """Remove a UKI and its add-ons; nothing happens when it is gone already."""
    uki.unlink(missing_ok=True)
    _remove_addons(uki)


def clear_staged(esp: Path) -> None:
    """Remove what an interrupted run staged, so that none of its add-ons is left behind."""
    remove(esp / names.UKI_DIRECTORY / names.STAGED_UKI)


def publish(esp: Path, slot: str) -> str:
    """Give the staged UKI its final name, newer than all others; returns that name.

    Add-ons first: the image never has its name without them. Raises find-staged-file.
    """
    directory = esp / names.UKI_DIRECTORY
    staged = directory / names.STAGED_UKI
    if not staged.is_file():
        raise TridentError(
            Kind.SERVICING,
            "find-staged-file",
            f"no staged UKI: {staged} does not exist",
            hint="stage again",
        )
    present = [path.name for path in tree.files(directory)]
    for name in present:
        uki = names.parse_uki(name)
        if uki is not None and uki.slot == slot:
            remove(directory / name)
    final = directory / names.new_uki(present, slot)
    _remove_addons(final)
    addons = staged.with_name(staged.name + names.ADDONS_SUFFIX)
    if addons.is_dir():
        files.rename(addons, final.with_name(final.name + names.ADDONS_SUFFIX))
    files.rename(staged, final)
    files.sync_directory(directory)
    return final.name


def boot_by_default(entry: str) -> None:
    """Have systemd-boot boot this entry (a file name) from now on."""
    efivars.write_loader_string(_DEFAULT, entry)


def boot_once(entry: str) -> None:
    """Have systemd-boot boot this entry (a file name) at the next boot only."""
    efivars.write_loader_string(_ONE_SHOT, entry)


def forget_once() -> None:
    """Take back `boot_once`."""
    efivars.delete(_ONE_SHOT, efivars.LOADER_GUID)


def of_slot(esp: Path, slot: str) -> str | None:
    """The newest UKI of a side on the ESP (a file name); None when there is none."""
    present = [names.parse_uki(path.name) for path in tree.files(esp / names.UKI_DIRECTORY)]
    ours = [uki for uki in present if uki is not None and uki.slot == slot]
    return max(ours, key=lambda uki: uki.number).file_name if ours else None


def booted_entry() -> str | None:
    """The entry that systemd-boot booted; None when something else did."""
    return efivars.read_loader_string(_SELECTED)


def _remove_addons(uki: Path) -> None:
    addons = uki.with_name(uki.name + names.ADDONS_SUFFIX)
    if addons.is_dir():
        shutil.rmtree(addons)
