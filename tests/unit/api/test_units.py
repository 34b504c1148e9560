"""Byte counts and partition types."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api import parttypes
from agent.api.parttypes import Architecture, PartitionKind
from agent.api.pcr import Pcr
from agent.api.units import GROW, ByteCount, fixed_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("1", 1), (" 300 K ", 300 << 10), ("1025K", 1025 << 10), ("4T", 4 << 40)],
)
def test_sizes_are_powers_of_1024(text: str, count: int) -> None:
    assert ByteCount.parse(text) == count


@pytest.mark.parametrize("text", ["", "K", "1.0K", "1 0K", "-1", "+1", "1k", "1KB", "٣", "0x10"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        ByteCount.parse(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1K"), (1025, "1025"), (1 << 20, "1M"), (1 << 50, "1024T")],
)
def test_sizes_are_written_in_the_largest_exact_unit(count: int, text: str) -> None:
    assert str(ByteCount(count)) == text


@given(st.integers(0, (1 << 64) - 1) | st.integers(0, (1 << 24) - 1).map(lambda n: n << 40))
def test_a_size_survives_being_written(count: int) -> None:
    dumped = ByteCount(count).dump()
    assert ByteCount.parse(str(dumped)) == count
    assert isinstance(dumped, int) == bool(count % 1024)


def test_a_growing_partition_has_no_fixed_size() -> None:
    assert fixed_bytes(GROW) is None
    assert fixed_bytes(ByteCount(4096)) == 4096


@pytest.mark.parametrize("architecture", Architecture)
def test_every_named_type_has_a_guid_that_leads_back_to_it(architecture: Architecture) -> None:
    for kind in PartitionKind:
        assert parttypes.kind_of(parttypes.guid(kind, architecture)) is kind


def test_root_differs_between_architectures_and_the_esp_does_not() -> None:
    x86, arm = Architecture
    root, esp = PartitionKind.ROOT, PartitionKind.ESP
    assert parttypes.guid(root, x86) != parttypes.guid(root, arm)
    assert parttypes.guid(esp, x86) == parttypes.guid(esp, arm)


def test_any_guid_stands_for_itself() -> None:
    other = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
    assert parttypes.guid(other, Architecture.X86_64) == other
    assert parttypes.kind_of(other) is None


@pytest.mark.parametrize("value", [0, 7, 23, "ima", "secure-boot-policy", "pcr17"])
def test_registers_are_read_by_number_and_name(value: int | str) -> None:
    pcr = Pcr.parse(value)
    assert Pcr.parse(pcr.name) == pcr


@pytest.mark.parametrize("value", [24, -1, True, 7.0, "pcr7", "", None, [7]])
def test_anything_else_is_no_register(value: object) -> None:
    with pytest.raises(ValueError, match="is not a PCR"):
        Pcr.parse(value)
