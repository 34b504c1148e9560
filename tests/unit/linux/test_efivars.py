"""EFI variables, on a directory that stands for efivarfs (the real one: tests/tools/boot)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.linux import efivars

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(TEXT)
def test_strings_survive_encoding(text: str) -> None:
    assert efivars.decode_string(efivars.encode_string(text)) == text


def test_a_string_variable_is_utf_16_with_attributes_in_front(tmp_path: Path) -> None:
    efivars.write_loader_string("LoaderEntryDefault", "a.efi", tmp_path)
    stored = (tmp_path / f"LoaderEntryDefault-{efivars.LOADER_GUID}").read_bytes()
    assert stored == b"\x07\0\0\0" + b"a\0.\0e\0f\0i\0\0\0"
    assert efivars.read_loader_string("LoaderEntryDefault", tmp_path) == "a.efi"


def test_a_variable_that_is_not_set_is_none(tmp_path: Path) -> None:
    assert efivars.read_loader_string("LoaderEntryOneShot", tmp_path) is None
    efivars.delete("LoaderEntryOneShot", efivars.LOADER_GUID, tmp_path)


def test_deleting_removes_the_variable(tmp_path: Path) -> None:
    efivars.write("X", efivars.LOADER_GUID, b"1", tmp_path)
    efivars.delete("X", efivars.LOADER_GUID, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("value", "enforced"), [(b"\x01", True), (b"\x00", False)])
def test_secure_boot_is_what_the_firmware_says(
    tmp_path: Path, value: bytes, enforced: bool
) -> None:
    (tmp_path / f"SecureBoot-{efivars.GLOBAL_GUID}").write_bytes(b"\x06\0\0\0" + value)
    assert efivars.secure_boot(tmp_path) is enforced


def test_secure_boot_is_off_where_the_variable_is_missing(tmp_path: Path) -> None:
    assert not efivars.secure_boot(tmp_path)


def test_the_space_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    efivars.require_space(512, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_uefi_is_told_so(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TridentError, match="was not booted by UEFI firmware") as caught:
            efivars.require(directory)
        assert "UEFI boot" in str(caught.value.hint)
