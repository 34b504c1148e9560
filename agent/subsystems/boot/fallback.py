"""EFI/BOOT, which firmware starts when it has no usable boot entry: whose files are there, when.

`source` is the pure table; `replace` copies, every file so that either its old or its new version
is there at any time, the program that the firmware starts last.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.osconfig import UefiFallbackMode
from agent.api.status import AbVolume
from agent.linux import files
from agent.subsystems.boot import names, tree


class Moment(Enum):
    """When the fallback may change."""

    INSTALL_FINALIZE = "clean install, finalize"
    UPDATE_FINALIZE = "A/B update, finalize"
    UPDATE_COMMIT = "A/B update, commit"
    ROLLBACK_FINALIZE = "rollback to the other side, finalize"


def source(moment: Moment, mode: UefiFallbackMode, target: AbVolume) -> AbVolume | None:
    """The side whose boot files go to EFI/BOOT, None for no change.

    `target` is the side that the operation makes (or, at commit, has made) the active one.
    Conservative: EFI/BOOT holds what has proven to boot. Optimistic: what was installed last.
    """
    if mode is UefiFallbackMode.DISABLED:
        return None
    conservative = mode is UefiFallbackMode.CONSERVATIVE
    match moment:
        case Moment.INSTALL_FINALIZE | Moment.ROLLBACK_FINALIZE:
            return target
        case Moment.UPDATE_FINALIZE:
            return target.other if conservative else target
        case Moment.UPDATE_COMMIT:
            return target if conservative else None


def replace(esp: Path, directory: str) -> None:
    """Make EFI/BOOT hold the boot files of EFI/`directory`. Raises set-up-uefi-fallback."""
    boot_files = tree.files(esp / names.EFI / directory)
    if not boot_files:
        raise TridentError(
            Kind.SERVICING,
            "set-up-uefi-fallback",
            f"EFI/{directory} holds no boot files to copy to {names.FALLBACK_DIRECTORY}",
            fields={"directory": directory},
        )
    fallback = tree.find(esp, names.FALLBACK_DIRECTORY) or esp / names.FALLBACK_DIRECTORY
    fallback.mkdir(parents=True, exist_ok=True)
    for file in sorted(boot_files, key=_is_first_stage):
        present = tree.child(fallback, file.name)
        files.copy(file, present or fallback / file.name)


def _is_first_stage(file: Path) -> bool:
    return file.name.lower().startswith("boot")
