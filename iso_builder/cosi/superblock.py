"""What the first bytes of a file system say: its type, its identifier, its size. Pure; no I/O.

ext4: `Documentation/filesystems/ext4/super.rst`; XFS: `xfs_dsb`; FAT: specification 1.03;
dm-verity: `Documentation/admin-guide/device-mapper/verity.rst`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

FRONT_BYTES = 64 * 1024
"""How much of an image `identify` looks at."""
_EXT = 1024
_EXT_64BIT = 0x80
_VERITY = struct.Struct("<8sII16s32sIIQ")


class Family(StrEnum):
    """File systems of one form."""

    EXT = "ext"
    XFS = "xfs"
    FAT = "vfat"
    VERITY = "verity hash tree"


@dataclass(frozen=True)
class Superblock:
    """`size_bytes` is what the file system claims; of a hash tree, the data that it covers."""

    family: Family
    uuid: str
    size_bytes: int


def identify(front: bytes) -> Superblock | None:
    """Recognise a file system by its front; None when it is none of those known here."""
    for read in (_ext, _xfs, _verity, _fat):
        found = read(front)
        if found is not None:
            return found
    return None


def _ext(front: bytes) -> Superblock | None:
    block = front[_EXT : _EXT + 1024]
    if len(block) < 1024 or block[0x38:0x3A] != b"\x53\xef":
        return None
    low, log_size = struct.unpack_from("<I", block, 4)[0], struct.unpack_from("<I", block, 0x18)[0]
    (incompatible,) = struct.unpack_from("<I", block, 0x60)
    (high,) = struct.unpack_from("<I", block, 0x150)
    blocks = low | (high << 32 if incompatible & _EXT_64BIT else 0)
    return Superblock(
        Family.EXT, str(UUID(bytes=block[0x68:0x78])), blocks * (1024 << min(log_size, 6))
    )


def _xfs(front: bytes) -> Superblock | None:
    if len(front) < 512 or front[:4] != b"XFSB":
        return None
    block_bytes, blocks = struct.unpack_from(">IQ", front, 4)
    return Superblock(Family.XFS, str(UUID(bytes=front[32:48])), block_bytes * blocks)


def _verity(front: bytes) -> Superblock | None:
    if len(front) < 512 or front[:8] != b"verity\0\0":
        return None
    _, _, _, uuid, _, data_block, _, blocks = _VERITY.unpack_from(front)
    return Superblock(Family.VERITY, str(UUID(bytes=uuid)), data_block * blocks)


def _fat(front: bytes) -> Superblock | None:
    if len(front) < 512 or front[510:512] != b"\x55\xaa":
        return None
    large = front[82:87] == b"FAT32"
    if not large and front[54:57] != b"FAT":
        return None
    at = 67 if large else 39
    serial = int.from_bytes(front[at : at + 4], "little")
    (sector,) = struct.unpack_from("<H", front, 11)
    sectors = int.from_bytes(front[19:21], "little") or int.from_bytes(front[32:36], "little")
    return Superblock(Family.FAT, f"{serial >> 16:04X}-{serial & 0xFFFF:04X}", sector * sectors)
