"""At commit: the side that was booted and is healthy becomes what the machine boots from now on."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from agent.api.errors import TridentError
from agent.api.status import AbVolume
from agent.api.storage import ROOT
from agent.cosi import pe
from agent.engine.context import Context
from agent.linux import architecture, efivars, probe
from agent.subsystems.boot import fallback, firmware, names, staging, tree, uki
from agent.subsystems.boot.fallback import Moment

BOOT = PurePosixPath("/boot")
_ELSEWHERE = "boots another file system than the one that is there"


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
    _prefer(context, side)


def give_way(context: Context) -> None:
    """The target is not healthy: whatever a commit of it settled before, the other side is booted.

    Where no commit of it had come that far, what is there already is written again.
    """
    if not efivars.DIRECTORY.is_dir():
        return
    index, side = context.facts.install_index, context.target_volume.other
    mode = context.configuration.os.uefi_fallback
    _prefer(context, side)
    with staging.mounted_esp(context) as root:
        entry = uki.of_slot(root, names.uki_slot(index, side))
        if entry is not None and uki.booted_entry() is not None:
            uki.boot_by_default(entry)
        if fallback.source(Moment.UPDATE_FINALIZE, mode, context.target_volume) is side:
            fallback.replace(root, names.directory(index, side))


def _prefer(context: Context, side: AbVolume) -> None:
    """Put the boot entry of a side before the other's."""
    index = context.facts.install_index
    target = firmware.target_on(
        staging.esp_device(context),
        label=names.directory(index, side),
        loader=names.loader_path(index, side, architecture.running()),
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
    loader = names.boot_loader(architecture.running())
    if folder is None or tree.child(folder, loader) is None:
        return f"EFI/{directory}/{loader} is gone from the EFI system partition"
    config = tree.child(folder, names.GRUB_CONFIG)
    if config is not None:
        uuid = probe.signature(_device_of(BOOT, context)).uuid
        leads_there = uuid is not None and uuid.casefold() in config.read_text().casefold()
        return None if leads_there else f"EFI/{directory} {_ELSEWHERE}"
    slot = names.uki_slot(context.facts.install_index, context.target_volume)
    name = uki.of_slot(esp, slot)
    if name is None:
        return "its UKI is gone from the EFI system partition"
    return _wrong_uki(esp / names.UKI_DIRECTORY / name, context)


def boots_elsewhere(cmdline: str, uuid: str | None) -> bool:
    """Whether a kernel command line names another root file system than `uuid`. Pure.

    A root that is not named by file system UUID is not judged.
    """
    prefix = "root=UUID="
    named = [word.removeprefix(prefix) for word in cmdline.split() if word.startswith(prefix)]
    return bool(named) and named[-1].casefold() != (uuid or "").casefold()


def _wrong_uki(file: Path, context: Context) -> str | None:
    try:
        cmdline = pe.parse_uki(file.read_bytes()).cmdline
    except TridentError as error:
        return f"{file.name} cannot be read: {error.message}"
    uuid = probe.signature(_device_of(ROOT, context)).uuid
    return f"{file.name} {_ELSEWHERE}" if boots_elsewhere(cmdline, uuid) else None


def _device_of(path: PurePosixPath, context: Context) -> Path:
    """The device of the file system that holds `path`."""
    holders = [
        (len(filesystem.mount_path.parts), filesystem.device_id)
        for filesystem in context.configuration.storage.filesystems
        if filesystem.mount_path is not None
        and filesystem.device_id is not None
        and path.is_relative_to(filesystem.mount_path)
    ]
    return context.device_path(max(holders)[1])
