"""Partition tables of a medium, read back by the agent's strict parser."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.cosi import gpt
from iso_builder.medium import hybrid
from iso_builder.medium.hybrid import BLOCK, Hybrid

CODE = bytes(range(216)) * 2
SAMPLE = Hybrid(
    disk_blocks=4096,
    esp_first_block=128,
    esp_blocks=2048,
    bios_loader_block=3104,
    disk_guid=UUID(int=1),
    esp_guid=UUID(int=2),
)


def disk(tables: Hybrid) -> bytes:
    size = tables.disk_blocks * BLOCK
    front, back = hybrid.front(tables, CODE), hybrid.back(tables)
    return front + bytes(size - len(front) - len(back)) + back


@st.composite
def hybrids(draw: st.DrawFn) -> Hybrid:
    first = draw(st.integers(64, 2000))
    blocks = draw(st.integers(1, 2000))
    rest = draw(st.integers(33, 1000))
    return Hybrid(
        disk_blocks=first + blocks + rest,
        esp_first_block=first,
        esp_blocks=blocks,
        bios_loader_block=draw(st.integers(0, 2**40)),
        disk_guid=draw(st.uuids()),
        esp_guid=draw(st.uuids()),
    )


@given(hybrids())
def test_the_primary_table_says_what_the_value_says(tables: Hybrid) -> None:
    found = gpt.parse(hybrid.front(tables, CODE), tables.disk_blocks * BLOCK)
    assert found.disk_guid == tables.disk_guid
    assert found.alternate_lba == tables.disk_blocks - 1
    (partition,) = found.partitions
    assert (partition.type, partition.guid) == (gpt.ESP, tables.esp_guid)
    assert found.offset(partition) == tables.esp_first_block * BLOCK
    assert found.size(partition) == tables.esp_blocks * BLOCK


@given(hybrids())
def test_the_copy_differs_from_the_primary_only_in_where_it_stands(tables: Hybrid) -> None:
    """A copy moved to the front, its own places turned round, is a primary table."""
    whole = disk(tables)
    last = (tables.disk_blocks - 1) * BLOCK
    primary, copy = whole[BLOCK : 2 * BLOCK], whole[last:]
    assert struct.unpack_from("<QQ", copy, 24) == (tables.disk_blocks - 1, 1)
    array_at = struct.unpack_from("<Q", copy, 72)[0]
    assert array_at == tables.disk_blocks - 33
    assert whole[array_at * BLOCK : last] == whole[2 * BLOCK : 34 * BLOCK]
    assert copy[40:72] == primary[40:72]
    assert copy[80:] == primary[80:]


@pytest.mark.parametrize("offset", [BLOCK + 16, BLOCK + 60, 2 * BLOCK + 3, 2 * BLOCK + 40])
def test_a_flipped_bit_anywhere_in_the_table_is_noticed(offset: int) -> None:
    damaged = bytearray(disk(SAMPLE))
    damaged[offset] ^= 1
    with pytest.raises(TridentError):
        gpt.parse(bytes(damaged), len(damaged))


def test_the_mbr_starts_isolinux_and_protects_the_whole_disk() -> None:
    mbr = hybrid.front(SAMPLE, CODE)[:BLOCK]
    assert mbr[:432] == CODE
    assert struct.unpack_from("<Q", mbr, 432)[0] == SAMPLE.bios_loader_block
    kind, first, blocks = mbr[446 + 4], *struct.unpack_from("<II", mbr, 446 + 8)
    assert (kind, first, blocks) == (0xEE, 1, SAMPLE.disk_blocks - 1)
    assert mbr[510:] == b"\x55\xaa"


def test_one_empty_partition_is_active_for_old_bioses_and_the_protective_one_is_not() -> None:
    mbr = hybrid.front(SAMPLE, CODE)
    flags = [mbr[446 + 16 * number] for number in range(4)]
    assert flags == [0, 0x80, 0, 0]
    assert mbr[446 + 16 + 4] == 0


def test_the_tables_stay_in_the_area_that_iso_9660_leaves_free() -> None:
    assert len(hybrid.front(SAMPLE, CODE)) == 32768
    assert len(hybrid.back(SAMPLE)) == hybrid.BACKUP_BYTES


def test_boot_code_of_another_length_is_no_isohybrid_code() -> None:
    with pytest.raises(ValueError, match="432"):
        hybrid.front(SAMPLE, CODE + b"x")
