"""Layout of unified kernel images."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from iso_builder.uki import Layout, layout

BASE = 0x14DF90000


def stub(sections: list[tuple[int, int, int]], *, magic: int = 0x20B) -> bytes:
    """A PE header whose sections are (virtual size, virtual address, raw size)."""
    optional = struct.pack("<H22xQII", magic, BASE, 0x1000, 0x200)
    coff = struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0)
    table = b"".join(
        struct.pack("<8sIIII16x", b".s", virtual, address, raw, 0)
        for virtual, address, raw in sections
    )
    return b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0" + coff + optional + table


def test_new_sections_begin_behind_the_last_section_of_the_stub() -> None:
    found = layout(stub([(0x1080E, 0x1000, 0x10A00), (0x88, 0x1A000, 0x200)]))
    assert found == Layout(BASE + 0x1B000, 0x1000)


def test_a_section_longer_in_the_file_than_in_memory_counts_with_its_file_size() -> None:
    assert layout(stub([(0x10, 0x1000, 0x1200)])).end == BASE + 0x3000


@given(st.lists(st.integers(min_value=0, max_value=64 << 20), min_size=1, max_size=8))
def test_no_two_sections_overlap_and_all_are_aligned(sizes: list[int]) -> None:
    place = Layout(BASE, 0x1000)
    addresses = place.place(sizes)
    assert all(address % 0x1000 == 0 for address in addresses)
    for index in range(1, len(sizes)):
        assert addresses[index] >= addresses[index - 1] + sizes[index - 1]


@pytest.mark.parametrize(
    "data",
    [b"", b"MZ" + bytes(100), stub([(1, 1, 1)], magic=0x10B), stub([(1, 1, 1)])[:-8], stub([])],
    ids=["empty", "no PE", "32 bit", "cut off", "no sections"],
)
def test_what_is_no_64_bit_pe_file_is_refused(data: bytes) -> None:
    with pytest.raises(TridentError) as caught:
        layout(data)
    assert caught.value.code == "stub-unreadable"
