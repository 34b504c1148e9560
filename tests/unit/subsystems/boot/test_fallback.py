"""EFI/BOOT: whose files, when, and how they get there."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.osconfig import UefiFallbackMode
from agent.api.status import AbVolume
from agent.subsystems.boot import fallback
from agent.subsystems.boot.fallback import Moment

A, B = AbVolume.A, AbVolume.B
CONSERVATIVE, OPTIMISTIC = UefiFallbackMode.CONSERVATIVE, UefiFallbackMode.OPTIMISTIC


@pytest.mark.parametrize(
    ("moment", "target", "conservative", "optimistic"),
    [
        (Moment.INSTALL_FINALIZE, A, A, A),
        (Moment.UPDATE_FINALIZE, B, A, B),
        (Moment.UPDATE_COMMIT, B, B, None),
        (Moment.ROLLBACK_FINALIZE, A, A, A),
    ],
)
def test_the_table(
    moment: Moment, target: AbVolume, conservative: AbVolume, optimistic: AbVolume | None
) -> None:
    assert fallback.source(moment, CONSERVATIVE, target) is conservative
    assert fallback.source(moment, OPTIMISTIC, target) is optimistic
    assert fallback.source(moment, UefiFallbackMode.DISABLED, target) is None


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_files_are_replaced_whatever_their_case_and_others_stay(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "EFI/AZLA/bootx64.efi": "new shim",
            "EFI/AZLA/grub.cfg": "new config",
            "EFI/Boot/BOOTX64.EFI": "old shim",
            "EFI/Boot/tool.efi": "tool",
        },
    )
    fallback.replace(tmp_path, "AZLA")
    found = {path.name: path.read_text() for path in (tmp_path / "EFI/Boot").iterdir()}
    assert found == {"BOOTX64.EFI": "new shim", "grub.cfg": "new config", "tool.efi": "tool"}


def test_the_directory_is_made_on_a_fresh_esp(tmp_path: Path) -> None:
    write(tmp_path, {"EFI/AZLA/bootx64.efi": "shim"})
    fallback.replace(tmp_path, "AZLA")
    assert (tmp_path / "EFI/BOOT/bootx64.efi").read_text() == "shim"


def test_a_side_without_boot_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TridentError, match="EFI/AZLB holds no boot files") as caught:
        fallback.replace(tmp_path, "AZLB")
    assert caught.value.code == "set-up-uefi-fallback"
