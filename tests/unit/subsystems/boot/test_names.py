"""Names of boot directories, entries and UKIs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture
from agent.api.status import AbVolume
from agent.subsystems.boot import names

A, B = AbVolume.A, AbVolume.B


def test_the_first_installation_has_no_number() -> None:
    assert [names.directory(0, A), names.directory(0, B)] == ["AZLA", "AZLB"]
    assert [names.directory(1, A), names.directory(9, B)] == ["AZL2A", "AZL10B"]


def test_the_loader_path_has_backslashes_and_the_machine_s_suffix() -> None:
    assert names.loader_path(0, A, Architecture.X86_64) == "\\EFI\\AZLA\\bootx64.efi"
    assert names.loader_path(1, B, Architecture.AARCH64) == "\\EFI\\AZL2B\\bootaa64.efi"


@pytest.mark.parametrize(
    ("present", "index"),
    [
        ([], 0),
        (["BOOT", "debian"], 0),
        (["AZLA"], 1),
        (["azlb"], 1),
        (["AZLA", "AZLB", "AZL2B"], 2),
        (["AZL2A"], 0),
    ],
)
def test_an_index_is_free_when_neither_side_s_directory_is_there(
    present: list[str], index: int
) -> None:
    assert names.free_index(present) == index


def test_a_thousand_installations_are_enough() -> None:
    with pytest.raises(TridentError) as caught:
        names.free_index(names.directory(index, A) for index in range(1000))
    assert caught.value.code == "no-available-install-index"


@given(st.integers(0, 10_000), st.integers(0, 999), st.sampled_from(AbVolume))
def test_names_of_ukis_are_read_back(number: int, index: int, volume: AbVolume) -> None:
    slot = names.uki_slot(index, volume)
    uki = names.parse_uki(f"vmlinuz-{number}-{slot}.efi")
    assert uki is not None
    assert (uki.number, uki.slot) == (number, slot)


@pytest.mark.parametrize(
    "name", [names.STAGED_UKI, "vmlinuz-6.1.efi", "vmlinuz-100-azlc0.efi", "vmlinuz-100-azla.efi"]
)
def test_other_files_are_not_ours(name: str) -> None:
    assert names.parse_uki(name) is None


def test_a_new_uki_is_newer_than_those_of_the_other_side() -> None:
    assert names.new_uki([], "azla0") == "vmlinuz-100-azla0.efi"
    assert names.new_uki(["vmlinuz-100-azla0.efi"], "azlb0") == "vmlinuz-101-azlb0.efi"
    assert names.new_uki(["vmlinuz-104-azla0.efi", "vmlinuz-100-azlb0.efi"], "azla0") == (
        "vmlinuz-101-azla0.efi"
    )


def test_ukis_of_the_target_side_are_superseded() -> None:
    present = ["vmlinuz-100-azla0.efi", "vmlinuz-101-azlb0.efi", "vmlinuz-102-azlb1.efi"]
    assert names.superseded_ukis(present, "azlb0", "azla0") == ("vmlinuz-101-azlb0.efi",)


def test_foreign_ukis_go_only_when_the_active_side_has_one_of_ours() -> None:
    foreign = "vmlinuz-6.1.0.efi"
    assert names.superseded_ukis([foreign], "azlb0", "azla0") == ()
    assert names.superseded_ukis([foreign, "vmlinuz-100-azla0.efi"], "azlb0", "azla0") == (foreign,)
    assert names.superseded_ukis([foreign, "vmlinuz-100-azla1.efi"], "azlb1", "azla1") == ()
    assert names.superseded_ukis([foreign, "vmlinuz-100-azla0.efi"], "azla0", None) == (
        "vmlinuz-100-azla0.efi",
    )


@pytest.mark.parametrize("index", [0, 1, 8, 9, 998])
@pytest.mark.parametrize("volume", AbVolume)
def test_the_name_of_a_directory_is_read_back(index: int, volume: AbVolume) -> None:
    assert names.parse_directory(names.directory(index, volume)) == (index, volume)


@pytest.mark.parametrize("name", ["AZL", "AZL0A", "AZL1A", "AZLC", "AZLAB", "azla", "UEFI OS"])
def test_a_name_that_is_not_the_agents_is_none(name: str) -> None:
    assert names.parse_directory(name) is None
