from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest

from agent.api.errors import TridentError
from agent.cosi import gpt
from tests.unit.cosi.images import Entry, gpt_bytes

SECTORS = 4096
DISK = SECTORS * 512
ENTRIES = [
    Entry(gpt.LINUX_DATA, 300, 399, "second"),
    Entry(gpt.ESP, 64, 127, "esp"),
    Entry(gpt.LINUX_DATA, 400, 400, "one sector"),
]


def refusal(data: bytes, disk_size: int = DISK) -> str:
    with pytest.raises(TridentError) as caught:
        gpt.parse(data, disk_size)
    assert caught.value.code == "corrupt-os-image"
    return caught.value.message


def altered(
    change: Callable[[bytearray], None], entries: list[Entry] | None = None, *, sector: int = 512
) -> bytes:
    """A table with something changed, its checksums set right again."""
    data = bytearray(gpt_bytes(ENTRIES if entries is None else entries, SECTORS))
    change(data)
    count, size = struct.unpack_from("<II", data, sector + 80)
    table = data[2 * sector : 2 * sector + min(count * size, len(data))]
    struct.pack_into("<I", data, sector + 88, zlib.crc32(table))
    struct.pack_into("<I", data, sector + 16, 0)
    struct.pack_into("<I", data, sector + 16, zlib.crc32(data[sector : sector + 92]))
    return bytes(data)


def header(offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into(form, data, 512 + offset, value)


def test_a_table_tells_its_partitions_in_the_order_of_the_disk() -> None:
    table = gpt.parse(gpt_bytes(ENTRIES, SECTORS), DISK)
    assert [(part.number, part.name) for part in table.partitions] == [
        (2, "esp"),
        (1, "second"),
        (3, "one sector"),
    ]
    assert (table.offset(table.partitions[0]), table.size(table.partitions[0])) == (32768, 32768)
    assert table.size(table.partitions[2]) == 512
    assert table.entries_end == 34 * 512


def test_sectors_of_4096_bytes_are_recognised() -> None:
    data = gpt_bytes([Entry(gpt.ESP, 10, 20)], 1000, 4096)
    table = gpt.parse(data, 1000 * 4096)
    assert table.lba_size == 4096
    assert table.offset(table.partitions[0]) == 40960
    assert gpt.needed_bytes(data[:8192]) == 2 * 4096 + 128 * 128


def test_the_front_of_a_disk_tells_how_much_of_it_is_needed() -> None:
    data = gpt_bytes(ENTRIES, SECTORS)
    assert gpt.needed_bytes(data[:8192]) == 34 * 512 == len(data)
    with pytest.raises(TridentError, match="absurd size"):
        gpt.needed_bytes(altered(header(84, "<I", 1 << 20)))


def test_a_table_with_few_entries_ends_within_a_sector() -> None:
    table = gpt.parse(gpt_bytes([Entry(gpt.ESP, 10, 20)], 1000, entry_count=6), 1000 * 512)
    assert table.entries_end == 2 * 512 + 6 * 128


def test_every_flipped_bit_that_matters_is_noticed() -> None:
    """F44."""
    data = gpt_bytes(ENTRIES, SECTORS)
    good = gpt.parse(data, DISK)
    covered = [*range(512, 512 + 92), *range(1024, 1024 + 4 * 128)]
    for byte in covered:
        for bit in range(8):
            flipped = bytearray(data)
            flipped[byte] ^= 1 << bit
            with pytest.raises(TridentError):
                gpt.parse(bytes(flipped), DISK)
    assert gpt.parse(data, DISK) == good


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (header(8, "<I", 0x20000), "unknown form"),
        (header(12, "<I", 60), "unknown form"),
        (header(12, "<I", 1 << 31), "unknown form"),
        (header(24, "<Q", 2), "unknown form"),
        (header(32, "<Q", 1 << 40), "does not fit its disk"),
        (header(40, "<Q", 1), "does not fit its disk"),
        (header(48, "<Q", SECTORS), "does not fit its disk"),
        (header(72, "<Q", 1), "does not fit its disk"),
        (header(72, "<Q", 30), "reaches into|truncated"),
        (header(80, "<I", 0), "has 0 entries"),
        (header(80, "<I", 1 << 31), "entries"),
        (header(84, "<I", 0), "entries of 0 bytes"),
        (header(84, "<I", 96), "entries of 96 bytes"),
        (header(84, "<I", 1 << 31), "entries of"),
        (header(84, "<I", 256), "truncated"),
    ],
)
def test_absurd_headers_are_refused(change: Callable[[bytearray], None], complaint: str) -> None:
    data = bytearray(altered(change))
    struct.pack_into("<I", data, 512 + 16, 0)
    size = min(struct.unpack_from("<I", data, 512 + 12)[0], 512)
    struct.pack_into("<I", data, 512 + 16, zlib.crc32(data[512 : 512 + size]))
    with pytest.raises(TridentError, match=complaint):
        gpt.parse(bytes(data), DISK)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([Entry(gpt.ESP, 64, 127), Entry(gpt.LINUX_DATA, 127, 200)], "overlaps"),
        ([Entry(gpt.ESP, 64, 127), Entry(gpt.LINUX_DATA, 10, 500)], "overlaps"),
        ([Entry(gpt.ESP, 127, 64)], "does not fit"),
        ([Entry(gpt.ESP, 64, SECTORS)], "does not fit"),
        ([Entry(gpt.ESP, 64, (1 << 64) - 1)], "does not fit"),
        ([Entry(gpt.ESP, 3, 64)], "overlaps"),
    ],
)
def test_partitions_in_impossible_places_are_refused(entries: list[Entry], complaint: str) -> None:
    assert complaint in refusal(gpt_bytes(entries, SECTORS))


def test_two_partitions_of_one_guid_are_refused() -> None:
    def same(data: bytearray) -> None:
        data[1024 + 128 + 16 : 1024 + 128 + 32] = data[1024 + 16 : 1024 + 32]

    assert "same GUID" in refusal(altered(same))


def test_what_is_no_table_is_refused() -> None:
    assert "no GUID partition table" in refusal(b"")
    assert "no GUID partition table" in refusal(bytes(20_000))
    assert "no GUID partition table" in refusal(gpt_bytes(ENTRIES, SECTORS)[:550])
    assert "truncated" in refusal(gpt_bytes(ENTRIES, SECTORS)[:2000])
    assert "no multiple" in refusal(gpt_bytes(ENTRIES, SECTORS), DISK + 1)


def test_a_table_without_its_protective_mbr_is_refused() -> None:
    data = bytearray(gpt_bytes(ENTRIES, SECTORS))
    data[446 + 4] = 0x83
    assert "protective MBR" in refusal(bytes(data))
