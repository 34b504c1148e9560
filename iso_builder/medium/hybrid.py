"""The partition tables that make an ISO image a disk as well: protective MBR and GPT. Pure.

UEFI 2.10 sections 5.2.3 and 5.3. The tables live in the 32 KiB that ISO 9660 leaves to the system
(ECMA-119, 6.2.1), their copy behind the file system. The one partition is the FAT image that El
Torito names too. The code in the MBR is that of isolinux, which finds `isolinux.bin` by the number
of its first block, stored behind the code (isohybrid's convention).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

from agent.cosi.gpt import ESP

BLOCK = 512
SYSTEM_AREA = 32768
_CODE_BYTES = 432
_ENTRY_BYTES, _ENTRIES = 128, 128
_ARRAY_BLOCKS = _ENTRY_BYTES * _ENTRIES // BLOCK
BACKUP_BYTES = (_ARRAY_BLOCKS + 1) * BLOCK
"""Room that the copy needs at the end of the disk."""
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_HEADER_BYTES = 92
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MBR_ENTRY = struct.Struct("<B3sB3sII")
_BEYOND_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True)
class Hybrid:
    """A medium as a disk. Blocks are of 512 bytes; `disk_blocks` counts the copy's room too."""

    disk_blocks: int
    esp_first_block: int
    esp_blocks: int
    bios_loader_block: int
    """First block of isolinux.bin."""
    disk_guid: UUID
    esp_guid: UUID

    @property
    def esp_last_block(self) -> int:
        return self.esp_first_block + self.esp_blocks - 1


def front(hybrid: Hybrid, boot_code: bytes) -> bytes:
    """The whole system area: MBR with `boot_code` (isohdpfx.bin), GPT header and entries."""
    array = _array(hybrid)
    header = _header(hybrid, own=1, other=hybrid.disk_blocks - 1, array_block=2, array=array)
    return (_mbr(hybrid, boot_code) + header + array).ljust(SYSTEM_AREA, b"\0")


def back(hybrid: Hybrid) -> bytes:
    """The copy of the GPT: the last BACKUP_BYTES of the disk."""
    array, last = _array(hybrid), hybrid.disk_blocks - 1
    place = last - _ARRAY_BLOCKS
    return array + _header(hybrid, own=last, other=1, array_block=place, array=array)


def _mbr(hybrid: Hybrid, boot_code: bytes) -> bytes:
    if len(boot_code) != _CODE_BYTES:
        raise ValueError(f"the boot code of isolinux has {_CODE_BYTES} bytes, not {len(boot_code)}")
    code = boot_code + struct.pack("<Q", hybrid.bios_loader_block)
    signature = hybrid.disk_guid.bytes[:4] + bytes(2)
    blocks = min(hybrid.disk_blocks - 1, 0xFFFFFFFF)
    protective = _MBR_ENTRY.pack(0, b"\0\x02\0", 0xEE, _BEYOND_CHS, 1, blocks)
    # Some BIOSes boot no disk without an active partition, and some UEFI firmware ignores a GPT
    # whose protective entry is active: an empty entry carries the mark.
    active = _MBR_ENTRY.pack(0x80, b"\0\x01\0", 0, b"\0\x01\0", 0, 1)
    return code + signature + protective + active + bytes(32) + b"\x55\xaa"


def _array(hybrid: Hybrid) -> bytes:
    name = "EFI system partition".encode("utf-16-le")
    entry = _ENTRY.pack(
        ESP.bytes_le,
        hybrid.esp_guid.bytes_le,
        hybrid.esp_first_block,
        hybrid.esp_last_block,
        0,
        name,
    )
    return entry.ljust(_ENTRY_BYTES * _ENTRIES, b"\0")


def _header(hybrid: Hybrid, *, own: int, other: int, array_block: int, array: bytes) -> bytes:
    def packed(checksum: int) -> bytes:
        return _HEADER.pack(
            b"EFI PART",
            0x00010000,
            _HEADER_BYTES,
            checksum,
            0,
            own,
            other,
            2 + _ARRAY_BLOCKS,
            hybrid.disk_blocks - BACKUP_BYTES // BLOCK - 1,
            hybrid.disk_guid.bytes_le,
            array_block,
            _ENTRIES,
            _ENTRY_BYTES,
            zlib.crc32(array),
        )

    return packed(zlib.crc32(packed(0))).ljust(BLOCK, b"\0")
