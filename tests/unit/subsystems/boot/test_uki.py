"""UKIs on the ESP, in a directory that stands for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.subsystems.boot import names, uki


def write(esp: Path, *files: str) -> Path:
    linux = esp / names.UKI_DIRECTORY
    for name in files:
        (linux / name).parent.mkdir(parents=True, exist_ok=True)
        (linux / name).write_text(name)
    return linux


def listing(linux: Path) -> set[str]:
    return {path.relative_to(linux).as_posix() for path in linux.rglob("*") if path.is_file()}


def test_the_staged_uki_gets_its_name_together_with_its_add_ons(tmp_path: Path) -> None:
    linux = write(
        tmp_path,
        names.STAGED_UKI,
        f"{names.STAGED_UKI}.extra.d/a.addon.efi",
        "vmlinuz-100-azla0.efi",
        "vmlinuz-99-azlb0.efi",
        "vmlinuz-99-azlb0.efi.extra.d/old.addon.efi",
    )
    assert uki.is_staged(tmp_path)
    assert uki.publish(tmp_path, "azlb0") == "vmlinuz-101-azlb0.efi"
    assert listing(linux) == {
        "vmlinuz-100-azla0.efi",
        "vmlinuz-101-azlb0.efi",
        "vmlinuz-101-azlb0.efi.extra.d/a.addon.efi",
    }
    assert (linux / "vmlinuz-101-azlb0.efi").read_text() == names.STAGED_UKI
    assert not uki.is_staged(tmp_path)


def test_nothing_staged_is_an_error_and_removes_nothing(tmp_path: Path) -> None:
    linux = write(tmp_path, "vmlinuz-100-azla0.efi")
    with pytest.raises(TridentError, match="no staged UKI") as caught:
        uki.publish(tmp_path, "azla0")
    assert caught.value.code == "find-staged-file"
    assert listing(linux) == {"vmlinuz-100-azla0.efi"}


def test_what_an_interrupted_run_staged_is_cleared_with_its_add_ons(tmp_path: Path) -> None:
    linux = write(tmp_path, f"{names.STAGED_UKI}.extra.d/a.addon.efi", "vmlinuz-100-azla0.efi")
    uki.clear_staged(tmp_path)
    assert listing(linux) == {"vmlinuz-100-azla0.efi"}
    uki.clear_staged(tmp_path / "empty")


def test_the_superseded_ukis_are_paths_on_the_esp(tmp_path: Path) -> None:
    linux = write(tmp_path, "vmlinuz-100-azla0.efi", "vmlinuz-101-azlb0.efi")
    assert uki.superseded(tmp_path, "azlb0", "azla0") == (linux / "vmlinuz-101-azlb0.efi",)
    assert uki.superseded(tmp_path / "empty", "azlb0", "azla0") == ()


def test_the_newest_uki_of_a_side_is_found(tmp_path: Path) -> None:
    write(
        tmp_path,
        *("vmlinuz-100-azla0.efi", "vmlinuz-102-azla0.efi", "vmlinuz-103-azlb0.efi"),
        *("vmlinuz-104-azla1.efi", "vmlinuz-6.1.efi", names.STAGED_UKI),
    )
    assert uki.of_slot(tmp_path, "azla0") == "vmlinuz-102-azla0.efi"
    assert uki.of_slot(tmp_path, "azlb1") is None
