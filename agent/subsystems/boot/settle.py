"""At commit: the side that was booted and is healthy becomes what the machine boots from now on."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from agent.api.parttypes import Architecture
from agent.engine.context import Context
from agent.linux import efivars, probe
from agent.subsystems.boot import fallback, firmware, names, staging, tree, uki
from agent.subsystems.boot.fallback import Moment

BOOT = PurePosixPath("/boot")


def boot_order(context: Context) -> None:
    """Put the target's boot entry before the other side's; systemd-boot's default is what runs.

    Nothing to do on a machine without EFI variables.
    """
    if not efivars.DIRECTORY.is_dir():
        return
    index, side = context.facts.install_index, context.target_volume
    booted = uki.booted_entry()
    named = names.parse_uki(booted) if booted else None
    if booted and named and named.slot == names.uki_slot(index, side):
        uki.boot_by_default(booted)
    target = firmware.target_on(
        staging.esp_device(context),
        label=names.directory(index, side),
        loader=names.loader_path(index, side, Architecture(os.uname().machine)),
    )
    firmware.prefer(target, names.directory(index, side.other))


def fallback_files(context: Context) -> None:
    """Have EFI/BOOT hold what has now proven to boot, when `os.uefiFallback` is conservative."""
    mode = context.configuration.os.uefi_fallback
    side = fallback.source(Moment.UPDATE_COMMIT, mode, context.target_volume)
    if side is None:
        return
    with staging.mounted_esp(context) as root:
        fallback.replace(root, names.directory(context.facts.install_index, side))


def withdraw(context: Context) -> None:
    """The target did not boot: the firmware is not to try it again."""
    if efivars.DIRECTORY.is_dir():
        firmware.withdraw(names.directory(context.facts.install_index, context.target_volume))
        uki.forget_once()


def missing_boot_files(esp: Path, context: Context) -> str | None:
    """Why the target side cannot be booted from `esp`; None when its boot files are whole.

    They must also lead to the file system that is there now, not to one that was overwritten.
    """
    directory = names.directory(context.facts.install_index, context.target_volume)
    folder = tree.find(esp, f"{names.EFI}/{directory}")
    loader = names.boot_loader(Architecture(os.uname().machine))
    if folder is None or tree.child(folder, loader) is None:
        return f"EFI/{directory}/{loader} is gone from the EFI system partition"
    config = tree.child(folder, names.GRUB_CONFIG)
    if config is not None:
        uuid = probe.signature(_boot_device(context)).uuid
        if uuid is None or uuid.casefold() not in config.read_text().casefold():
            return f"EFI/{directory} boots another file system than the one that is there"
        return None
    slot = names.uki_slot(context.facts.install_index, context.target_volume)
    if uki.of_slot(esp, slot) is None:
        return "its UKI is gone from the EFI system partition"
    return None


def _boot_device(context: Context) -> Path:
    """The device of the file system that holds /boot."""
    holders = [
        (len(filesystem.mount_path.parts), filesystem.device_id)
        for filesystem in context.configuration.storage.filesystems
        if filesystem.mount_path is not None
        and filesystem.device_id is not None
        and BOOT.is_relative_to(filesystem.mount_path)
    ]
    return context.device_path(max(holders)[1])
