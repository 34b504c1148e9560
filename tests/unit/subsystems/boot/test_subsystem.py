"""What the boot subsystem plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.engine.context import Context, Facts
from agent.subsystems.boot.subsystem import BootSubsystem
from tests.kit.opened_image import image_of
from tests.unit.subsystems.boot.test_arguments import UKI
from tests.unit.subsystems.storage.samples import CONFIGURATION, configuration, metadata


def effects(context: Context) -> list[str]:
    return [
        f"{effect.verb} {effect.target}: {effect.detail}"
        for step in BootSubsystem().finalize(context)
        for effect in step.effects
    ]


def test_an_install_comes_first_in_the_boot_order() -> None:
    context = Context(configuration(), ServicingType.CLEAN_INSTALL)
    assert effects(context) == [
        "create boot entry 'AZLA': replacing those of this label",
        "change BootNext: AZLA",
        "change BootOrder: 'AZLA' first",
        "write EFI/BOOT: on the EFI system partition",
    ]


def test_an_update_of_the_second_installation_is_on_trial() -> None:
    context = Context(
        configuration(),
        ServicingType.AB_UPDATE,
        old_status=HostStatus(ab_active_volume=AbVolume.A),
        facts=Facts(install_index=1),
    )
    assert "change BootOrder: 'AZL2B' last" in effects(context)


def test_the_boot_order_is_left_alone_when_the_machine_s_owner_wants_that() -> None:
    text = CONFIGURATION + "internalParams: {virtdeployBootOrderWorkaround: true}\n"
    context = Context(configuration(text), ServicingType.CLEAN_INSTALL)
    assert "change BootOrder: 'AZLA' unchanged" in effects(context)


def test_a_runtime_update_does_not_touch_boot() -> None:
    context = Context(configuration(), ServicingType.RUNTIME_UPDATE)
    subsystem = BootSubsystem()
    subsystem.validate(context)
    assert (subsystem.stage(context), subsystem.finalize(context)) == ((), ())


@pytest.mark.skipif(Path("/sys/firmware/efi/efivars").is_dir(), reason="this host has UEFI")
def test_a_machine_without_uefi_is_refused_before_anything_else() -> None:
    with pytest.raises(TridentError, match="was not booted by UEFI firmware"):
        BootSubsystem().validate(Context(configuration(), ServicingType.CLEAN_INSTALL))


@pytest.mark.parametrize(
    ("more", "bootloader", "planned"),
    [
        ("os: {kernelCommandLine: {extraCommandLine: [quiet]}}\n", {"type": "grub"}, True),
        ("os: {selinux: {mode: disabled}}\n", {"type": "grub"}, True),
        ("os: {selinux: {mode: permissive}}\n", UKI, False),
        ("", {"type": "grub"}, False),
    ],
)
def test_kernel_arguments_are_planned_when_they_change(
    more: str, bootloader: dict[str, Any], planned: bool
) -> None:
    with image_of(metadata(bootloader=bootloader)) as image:
        context = Context(
            configuration(CONFIGURATION + more), ServicingType.CLEAN_INSTALL, image=image
        )
        names = [step.name for step in BootSubsystem().stage(context)]
    assert ("boot/arguments" in names) is planned
    assert names[:3] == ["boot/variables", "boot/rehearsal", "boot/files"]
