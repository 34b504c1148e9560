"""The boot subsystem: boot files onto the ESP, firmware entries, fallback; as plan steps.

Finalize is told nothing by the image: which boot loader is there, the staged files say.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture
from agent.api.status import AbVolume, ServicingType
from agent.api.storage import FileSystem
from agent.cosi.metadata import CosiMetadata, Image
from agent.cosi.reader import CosiImage
from agent.cosi.stream import extract_image
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import efivars, files, grub
from agent.subsystems.boot import esp, fallback, families, firmware, names, tree, uki
from agent.subsystems.boot.fallback import Moment
from agent.subsystems.boot.firmware import Position

_TOOLS = ("efibootmgr", "losetup", "mount", "umount")
_EXTRACTION_DIRECTORY = "var/tmp"
_BOOT = Path("/boot")

log = logging.getLogger(__name__)


class BootSubsystem:
    """Boot loader files, boot entries, the UEFI fallback."""

    @property
    def name(self) -> str:
        return "boot"

    def tools(self, _context: Context) -> Sequence[str]:
        return _TOOLS

    def validate(self, context: Context) -> None:
        """The firmware has boot variables and the image boots in a way that is known."""
        if context.servicing is ServicingType.RUNTIME_UPDATE:
            return
        efivars.require()
        _esp_filesystem(context)
        families.of_image(_image(context).metadata)
        _esp_image(context)

    def stage(self, context: Context) -> Sequence[Step]:
        if context.servicing is ServicingType.RUNTIME_UPDATE:
            return ()
        file = _esp_image(context).image
        label = _label(context, context.facts.install_index)
        return (
            Step(
                "boot/variables",
                Phase.PREPARE,
                "checking that the firmware takes boot entries",
                lambda _context: firmware.require_writable(),
            ),
            *_withdrawal(context),
            Step(
                "boot/files",
                Phase.PROVISION,
                "copying the boot files to the EFI system partition",
                _copy_files,
                (
                    Effect(Verb.FETCH, file.path, _image(context).source.url, file.compressed_size),
                    Effect(Verb.WRITE, f"EFI/{label} on the EFI system partition", "boot files"),
                ),
            ),
        )

    def finalize(self, context: Context) -> Sequence[Step]:
        if context.servicing is ServicingType.RUNTIME_UPDATE:
            return ()
        label = _label(context, context.facts.install_index)
        position = _position(context)
        return (
            Step(
                "boot/entries",
                Phase.FINALIZE,
                "telling the firmware to boot the new system",
                _set_entries,
                (
                    Effect(Verb.CREATE, f"boot entry '{label}'", "replacing those of this label"),
                    Effect(Verb.CHANGE, "BootNext", label),
                    Effect(Verb.CHANGE, "BootOrder", f"'{label}' {position.value}"),
                ),
            ),
            Step(
                "boot/fallback",
                Phase.FINALIZE,
                "setting up the firmware's fallback boot files",
                _set_fallback,
                (Effect(Verb.WRITE, names.FALLBACK_DIRECTORY, "on the EFI system partition"),),
            ),
        )


def _withdrawal(context: Context) -> Iterator[Step]:
    """Before the other side is overwritten: whatever power cut comes, nobody boots half of it."""
    if context.servicing is ServicingType.AB_UPDATE:
        label = _label(context, context.facts.install_index)
        yield Step(
            "boot/withdraw",
            Phase.PREPARE,
            "having the firmware forget the side that is overwritten",
            _withdraw,
            (Effect(Verb.CHANGE, f"boot entry '{label}'", "removed"),),
        )


def _withdraw(context: Context) -> None:
    firmware.withdraw(_label(context, context.facts.install_index))
    uki.forget_once()


def _copy_files(context: Context) -> None:
    """Pick the install index, then copy the image's boot files into the directory of the target."""
    root = _esp_root(context)
    image = _image(context)
    if context.servicing is ServicingType.CLEAN_INSTALL:
        efi = root / names.EFI
        present = [entry.name for entry in efi.iterdir()] if efi.is_dir() else []
        context.facts.install_index = names.free_index(present)
    with tempfile.TemporaryDirectory(
        prefix="trident-esp-", dir=context.newroot / _EXTRACTION_DIRECTORY
    ) as name:
        extracted = Path(name) / "esp.img"
        extract_image(image, _esp_image(context).image, extracted, progress=context.progress)
        with esp.mounted_image(extracted, Path(name) / "mnt") as mounted:
            _copy_from(mounted, root, image.metadata, context)


def _copy_from(mounted: Path, root: Path, metadata: CosiMetadata, context: Context) -> None:
    family = families.of_image(metadata)
    esp.check_shadows(root, family)
    index = context.facts.install_index
    directory = _label(context, index)
    selected = esp.select(
        mounted,
        family,
        metadata.os_arch,
        directory,
        _boot_filesystem(metadata).fs_uuid,
        panic_s=grub.PANIC_S if context.servicing is ServicingType.AB_UPDATE else None,
    )
    superseded: tuple[Path, ...] = ()
    if metadata.is_uki:
        selected += esp.select_uki(mounted)
        superseded = uki.superseded(
            root, names.uki_slot(index, context.target_volume), _active_slot(context)
        )
        uki.clear_staged(root)
    esp.require_room(root, selected, superseded)
    for path in superseded:
        uki.remove(path)
    esp.copy(root, selected, directory)


def _set_entries(context: Context) -> None:
    """Name the staged UKI and choose it, then the firmware's own variables."""
    root = _esp_root(context)
    index = context.facts.install_index
    _choose_uki(root, names.uki_slot(index, context.target_volume), context.servicing)
    device_id = _esp_filesystem(context).device_id
    if device_id is None:
        raise _no_esp()
    device = context.device_path(device_id)
    firmware.install(
        firmware.target_on(
            device,
            label=_label(context, index),
            loader=names.loader_path(index, context.target_volume, _machine()),
        ),
        _position(context),
    )


def _choose_uki(root: Path, slot: str, servicing: ServicingType) -> None:
    """A rollback boots the UKI that its side has; what an abandoned update staged goes."""
    if servicing is ServicingType.MANUAL_ROLLBACK_AB:
        uki.clear_staged(root)
        kept = uki.of_slot(root, slot)
        if kept is not None:
            uki.boot_by_default(kept)
    elif uki.is_staged(root):
        entry = uki.publish(root, slot)
        if servicing is ServicingType.CLEAN_INSTALL:
            uki.boot_by_default(entry)
        else:
            uki.boot_once(entry)


_MOMENTS = {
    ServicingType.CLEAN_INSTALL: Moment.INSTALL_FINALIZE,
    ServicingType.AB_UPDATE: Moment.UPDATE_FINALIZE,
    ServicingType.MANUAL_ROLLBACK_AB: Moment.ROLLBACK_FINALIZE,
}


def _set_fallback(context: Context) -> None:
    moment = _MOMENTS[context.servicing]
    side = fallback.source(moment, context.configuration.os.uefi_fallback, context.target_volume)
    if side is None:
        return
    root = _esp_root(context)
    directory = names.directory(context.facts.install_index, side)
    if side is not context.target_volume and tree.find(root, f"{names.EFI}/{directory}") is None:
        log.warning("EFI/%s is not there: %s stays as it is", directory, names.FALLBACK_DIRECTORY)
        return
    fallback.replace(root, directory)


def _position(context: Context) -> Position:
    if context.servicing is ServicingType.AB_UPDATE:
        return Position.LAST
    if context.configuration.internal_params.virtdeploy_boot_order_workaround:
        return Position.UNCHANGED
    return Position.FIRST


def _label(context: Context, index: int) -> str:
    return names.directory(index, context.target_volume)


def _active_slot(context: Context) -> str | None:
    active: AbVolume | None = context.old_status.ab_active_volume
    return None if active is None else names.uki_slot(context.facts.install_index, active)


def _machine() -> Architecture:
    return Architecture(os.uname().machine)


def _esp_filesystem(context: Context) -> FileSystem:
    for filesystem in context.configuration.storage.filesystems:
        if filesystem.is_esp:
            return filesystem
    raise _no_esp()


def _esp_root(context: Context) -> Path:
    """Where the machine's ESP is mounted below the newroot."""
    path = _esp_filesystem(context).mount_path
    if path is None:
        raise _no_esp()
    return files.inside(context.newroot, str(path))


def _image(context: Context) -> CosiImage:
    if context.image is None:
        raise TridentError(Kind.INTERNAL, "internal", "boot files are staged without an image")
    return context.image


def _esp_image(context: Context) -> Image:
    found = _image(context).metadata.esp
    if found is None:
        raise TridentError(
            Kind.INVALID_INPUT,
            "missing-os-image-filesystem",
            "the image has no EFI system partition",
            hint="rebuild the image with its EFI system partition",
        )
    return found


def _boot_filesystem(metadata: CosiMetadata) -> Image:
    """The image's file system that holds /boot in the target."""
    above = [image for image in metadata.filesystems if _BOOT.is_relative_to(image.mount_point)]
    if not above:
        raise TridentError(
            Kind.INVALID_INPUT,
            "missing-os-image-filesystem",
            "no file system of the image holds /boot",
            hint="rebuild the image with a root file system",
        )
    return max(above, key=lambda image: len(image.mount_point.parts))


def _no_esp() -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "invalid-host-configuration-static",
        "the Host Configuration has no EFI system partition's file system",
        hint="add a file system from the image with mountPoint /boot/efi to storage.filesystems",
        fields={"inner": "esp-mount-point-not-found"},
    )
