"""The boot subsystem: boot files onto the ESP, firmware entries, fallback; as plan steps.

Finalize is told nothing by the image: which boot loader is there, the staged files say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import architecture, efivars
from agent.subsystems.boot import (
    arguments,
    fallback,
    families,
    firmware,
    names,
    staging,
    tree,
    uki,
)
from agent.subsystems.boot.fallback import Moment
from agent.subsystems.boot.firmware import Position

log = logging.getLogger(__name__)

_TOOLS = ("blkid", "efibootmgr", "losetup", "mount", "umount")
_MOMENTS = {
    ServicingType.CLEAN_INSTALL: Moment.INSTALL_FINALIZE,
    ServicingType.AB_UPDATE: Moment.UPDATE_FINALIZE,
    ServicingType.MANUAL_ROLLBACK_AB: Moment.ROLLBACK_FINALIZE,
}


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
        staging.esp_filesystem(context)
        metadata = staging.image(context).metadata
        families.of_image(metadata)
        arguments.require_changeable(context.configuration.os, metadata)
        staging.esp_image(context)

    def stage(self, context: Context) -> Sequence[Step]:
        if context.servicing is ServicingType.RUNTIME_UPDATE:
            return ()
        file = staging.esp_image(context).image
        fetch = Effect(
            Verb.FETCH, file.path, staging.image(context).source.url, file.compressed_size
        )
        place = f"EFI/{staging.label(context)} on the EFI system partition"
        return (
            Step(
                "boot/variables",
                Phase.PREPARE,
                "checking that the firmware takes boot entries",
                lambda _context: firmware.require_writable(),
            ),
            Step(
                "boot/rehearsal",
                Phase.PREPARE,
                "checking the image's boot files",
                staging.rehearse,
                (fetch,),
            ),
            *_withdrawal(context),
            Step(
                "boot/files",
                Phase.PROVISION,
                "copying the boot files to the EFI system partition",
                staging.copy,
                (fetch, Effect(Verb.WRITE, place, "boot files")),
            ),
            *_arguments(context),
        )

    def finalize(self, context: Context) -> Sequence[Step]:
        if context.servicing is ServicingType.RUNTIME_UPDATE:
            return ()
        label = staging.label(context)
        return (
            Step(
                "boot/entries",
                Phase.FINALIZE,
                "telling the firmware to boot the new system",
                _set_entries,
                (
                    Effect(Verb.CREATE, f"boot entry '{label}'", "replacing those of this label"),
                    Effect(Verb.CHANGE, "BootNext", label),
                    Effect(Verb.CHANGE, "BootOrder", f"'{label}' {_position(context).value}"),
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


def _arguments(context: Context) -> Iterator[Step]:
    change = arguments.wanted(context.configuration.os)
    if change and not staging.image(context).metadata.is_uki:
        yield Step(
            "boot/arguments",
            Phase.CONFIGURE,
            "setting the kernel arguments",
            _set_arguments,
            (Effect(Verb.CHANGE, "kernel arguments", " ".join(change.added)),),
        )


def _set_arguments(context: Context) -> None:
    esp_config = staging.esp_root(context) / names.EFI / staging.label(context) / names.GRUB_CONFIG
    arguments.write(
        context.newroot,
        families.of_image(staging.image(context).metadata),
        esp_config,
        arguments.wanted(context.configuration.os),
    )


def _withdrawal(context: Context) -> Iterator[Step]:
    """Before the other side is overwritten: whatever power cut comes, nobody boots half of it."""
    if context.servicing is ServicingType.AB_UPDATE:
        yield Step(
            "boot/withdraw",
            Phase.PREPARE,
            "having the firmware forget the side that is overwritten",
            _withdraw,
            (Effect(Verb.CHANGE, f"boot entry '{staging.label(context)}'", "removed"),),
        )


def _withdraw(context: Context) -> None:
    firmware.withdraw(staging.label(context))
    uki.forget_once()


def _set_entries(context: Context) -> None:
    """Name the staged UKI and choose it, then the firmware's own variables."""
    root = staging.esp_root(context)
    index = context.facts.install_index
    _choose_uki(root, names.uki_slot(index, context.target_volume), context.servicing)
    loader = names.loader_path(index, context.target_volume, architecture.running())
    target = firmware.target_on(staging.esp_device(context), staging.label(context), loader)
    firmware.install(target, _position(context))


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


def _set_fallback(context: Context) -> None:
    moment = _MOMENTS[context.servicing]
    side = fallback.source(moment, context.configuration.os.uefi_fallback, context.target_volume)
    if side is None:
        return
    root = staging.esp_root(context)
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
