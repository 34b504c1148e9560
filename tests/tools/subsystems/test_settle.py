"""Whether a side can still be booted, from its boot files and the file system that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.engine.context import Context, Facts
from agent.linux import probe
from agent.linux.run import run
from agent.subsystems.boot import settle
from tests.unit.cosi.images import uki_bytes
from tests.unit.subsystems.storage.samples import configuration

pytestmark = pytest.mark.tools

UKI = "EFI/Linux/vmlinuz-100-azla0.efi"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A rollback to side A, whose root has a file system."""
    root = tmp_path / "root-a.img"
    with root.open("wb") as stream:
        stream.truncate(8 << 20)
    run(["mkfs.ext4", "-q", "-F", root])
    status = HostStatus(ab_active_volume=AbVolume.B)
    facts = Facts(partition_paths={"root-a": root})
    return Context(configuration(), ServicingType.MANUAL_ROLLBACK_AB, status, facts=facts)


def esp(tmp_path: Path, **files: bytes) -> Path:
    root = tmp_path / "esp"
    contents = {"EFI/AZLA/bootx64.efi": b"loader"} | files
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def uuid(context: Context) -> str:
    found = probe.signature(context.device_path("root")).uuid
    assert found is not None
    return found


def test_a_uki_that_boots_what_is_there_is_whole(context: Context, tmp_path: Path) -> None:
    uki = uki_bytes(f"root=UUID={uuid(context).upper()} ro", "6.1")
    assert settle.missing_boot_files(esp(tmp_path, **{UKI: uki}), context) is None


def test_a_uki_of_an_overwritten_system_is_found_out(context: Context, tmp_path: Path) -> None:
    uki = uki_bytes("root=UUID=88d2fa9b-7a32-450a-a9f8-aa9c3de79298 ro", "6.1")
    problem = settle.missing_boot_files(esp(tmp_path, **{UKI: uki}), context)
    assert problem == "vmlinuz-100-azla0.efi boots another file system than the one that is there"


def test_a_damaged_uki_is_found_out(context: Context, tmp_path: Path) -> None:
    problem = settle.missing_boot_files(esp(tmp_path, **{UKI: b"MZ"}), context)
    assert problem is not None
    assert "cannot be read" in problem


def test_boot_files_that_are_gone_are_named(context: Context, tmp_path: Path) -> None:
    assert settle.missing_boot_files(esp(tmp_path), context) == (
        "its UKI is gone from the EFI system partition"
    )
    (tmp_path / "esp/EFI/AZLA/bootx64.efi").unlink()
    assert settle.missing_boot_files(tmp_path / "esp", context) == (
        "EFI/AZLA/bootx64.efi is gone from the EFI system partition"
    )


def test_grub_must_look_for_the_file_system_that_is_there(context: Context, tmp_path: Path) -> None:
    config = f"search --fs-uuid --set=root {uuid(context)}\n".encode()
    place = "EFI/AZLA/grub.cfg"
    assert settle.missing_boot_files(esp(tmp_path, **{place: config}), context) is None
    other = config.replace(uuid(context).encode(), b"88d2fa9b-7a32-450a-a9f8-aa9c3de79298")
    assert settle.missing_boot_files(esp(tmp_path, **{place: other}), context) is not None


@pytest.mark.parametrize("cmdline", ["ro quiet", "root=PARTUUID=1 ro", "root=/dev/mapper/root"])
def test_a_root_that_is_not_named_by_its_file_system_is_not_judged(cmdline: str) -> None:
    assert not settle.boots_elsewhere(cmdline, "1234")
