"""Small COSI images made from nothing: a GPT, an ESP and a root whose bytes are only noise."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import zlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import zstandard

from agent.cosi import tar
from agent.cosi.gpt import ESP, LINUX_DATA
from agent.cosi.reader import MARKER, METADATA

SECTOR = 512
ENTRY_COUNT = 128
ESP_ID = "C3D4-250D"
ROOT_UUID = "88d2fa9b-7a32-450a-a9f8-aa9c3de79298"


@dataclass(frozen=True)
class Entry:
    type: UUID
    first_lba: int
    last_lba: int
    name: str = ""


def gpt_bytes(
    entries: list[Entry], disk_sectors: int, sector: int = SECTOR, *, entry_count: int = ENTRY_COUNT
) -> bytes:
    """Protective MBR, header and entries: the front of a disk."""
    table = bytearray(128 * entry_count)
    for index, entry in enumerate(entries):
        struct.pack_into(
            "<16s16sQQQ72s",
            table,
            128 * index,
            entry.type.bytes_le,
            UUID(int=0x1000 + index).bytes_le,
            entry.first_lba,
            entry.last_lba,
            0,
            entry.name.encode("utf-16-le"),
        )
    table_sectors = -(-len(table) // sector)
    header = bytearray(92)
    struct.pack_into(
        "<8sIIIIQQQQ16sQIII",
        header,
        0,
        b"EFI PART",
        0x10000,
        92,
        0,
        0,
        1,
        disk_sectors - 1,
        2 + table_sectors,
        disk_sectors - 2 - table_sectors,
        UUID(int=0xD15C).bytes_le,
        2,
        entry_count,
        128,
        zlib.crc32(table),
    )
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    mbr = bytearray(sector)
    mbr[446 + 4] = 0xEE
    mbr[510:512] = b"\x55\xaa"
    return bytes(mbr) + bytes(header) + bytes(sector - 92) + bytes(table)


def noise(size: int, seed: int = 1) -> bytes:
    """Half compressible, half random, always the same."""
    source = random.Random(seed)
    return b"".join(
        source.randbytes(64) + bytes([source.randrange(4)]) * 64 for _ in range(-(-size // 128))
    )[:size]


def compress(data: bytes, window_log: int = 22, level: int = 3) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=window_log, write_checksum=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


@dataclass(frozen=True)
class Piece:
    """One image: where it is in the archive, and its bytes, raw and compressed."""

    path: str
    raw: bytes
    packed: bytes

    def described(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "compressedSize": len(self.packed),
            "uncompressedSize": len(self.raw),
            "sha384": hashlib.sha384(self.packed).hexdigest(),
        }


def piece(path: str, raw: bytes) -> Piece:
    return Piece(path, raw, compress(raw))


def fronted(front: bytes, content: bytes) -> bytes:
    """`content` with its beginning replaced, as far as it goes."""
    return (front + content[len(front) :])[: len(content)]


def fat_front(volume_id: str, size: int) -> bytes:
    """The boot sector of a FAT16 file system of `size` bytes."""
    sector = bytearray(512)
    struct.pack_into("<H", sector, 11, 512)
    struct.pack_into("<I", sector, 32, size // 512)
    struct.pack_into("<I", sector, 39, int(volume_id.replace("-", ""), 16))
    sector[54:62] = b"FAT16   "
    sector[510:512] = b"\x55\xaa"
    return bytes(sector)


def ext_front(uuid: str, size: int) -> bytes:
    """The first two KiB of an ext file system of `size` bytes, in blocks of one KiB."""
    front = bytearray(2048)
    struct.pack_into("<I", front, 1024 + 4, size // 1024)
    front[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    front[1024 + 0x68 : 1024 + 0x78] = UUID(uuid).bytes
    return bytes(front)


def sample_pieces(esp_bytes: int = 20_000, root_bytes: int = 60_000) -> list[Piece]:
    """GPT, ESP and root. The root's size is no multiple of a sector on purpose."""
    entries = [Entry(ESP, 64, 127, "esp"), Entry(LINUX_DATA, 128, 511, "root")]
    return [
        piece("images/gpt.rawzst", gpt_bytes(entries, 1024)),
        piece("images/esp.rawzst", fronted(fat_front(ESP_ID, esp_bytes), noise(esp_bytes, 2))),
        piece(
            "images/root.rawzst", fronted(ext_front(ROOT_UUID, root_bytes), noise(root_bytes, 3))
        ),
    ]


def metadata_of(pieces: list[Piece]) -> dict[str, Any]:
    """Valid metadata of version 1.2 for GPT, ESP and root."""
    gpt, esp, root = (entry.described() for entry in pieces)
    return {
        "version": "1.2",
        "osArch": "x86_64",
        "osRelease": "ID=debian\n",
        "images": [
            {
                "image": esp,
                "mountPoint": "/boot/efi",
                "fsType": "vfat",
                "fsUuid": ESP_ID,
                "partType": str(ESP),
            },
            {
                "image": root,
                "mountPoint": "/",
                "fsType": "ext4",
                "fsUuid": ROOT_UUID,
                "partType": str(LINUX_DATA),
            },
        ],
        "osPackages": [{"name": "bash", "version": "5.2", "release": "1", "arch": "amd64"}],
        "bootloader": {"type": "grub"},
        "disk": {
            "size": 1024 * SECTOR,
            "type": "gpt",
            "lbaSize": SECTOR,
            "gptRegions": [
                {"image": gpt, "type": "primary-gpt"},
                {"image": esp, "type": "partition", "number": 1},
                {"image": root, "type": "partition", "number": 2},
            ],
        },
        "compression": {"maxWindowLog": 22},
    }


def entry(name: str, data: bytes) -> bytes:
    return tar.encode_header(name, len(data)) + data + bytes(-len(data) % tar.BLOCK_BYTES)


def archive(members: list[tuple[str, bytes]]) -> bytes:
    return b"".join(entry(name, data) for name, data in members) + bytes(2 * tar.BLOCK_BYTES)


def cosi_bytes(pieces: list[Piece] | None = None, metadata: dict[str, Any] | None = None) -> bytes:
    """A complete COSI file."""
    pieces = sample_pieces() if pieces is None else pieces
    document = json.dumps(metadata_of(pieces) if metadata is None else metadata).encode()
    members = [(MARKER, b""), (METADATA, document)]
    return archive(members + [(entry.path, entry.packed) for entry in pieces])


def uki_bytes(
    cmdline: str, kernel: str | None, os_release: str = "ID=debian\n", *, signed: bool = False
) -> bytes:
    """A PE file with the sections of a unified kernel image; `kernel` None leaves .uname out."""
    texts = {".osrel": os_release.encode(), ".cmdline": cmdline.encode() + b"\0"}
    if kernel is not None:
        texts[".uname"] = kernel.encode()
    kernel_image = bzimage_bytes("6.1.0-13-amd64 (debian) #1")
    return pe_bytes(texts | {".linux": kernel_image}, signed=signed)


def bzimage_bytes(version: str) -> bytes:
    """The head of an x86 kernel image that tells `version`."""
    image = bytearray(0x400)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, 0x100)
    image[0x300 : 0x300 + len(version)] = version.encode()
    return bytes(image)


def pe_bytes(contents: dict[str, bytes], *, signed: bool = False) -> bytes:
    """A PE file of nothing but a section table and sections; `signed`: it claims a signature."""
    optional = bytearray(240 if signed else 0)
    if signed:
        struct.pack_into("<H", optional, 0, 0x20B)
        struct.pack_into("<II", optional, 112 + 8 * 4, 0x1000, 0x200)
    head = bytearray(64)
    head[0:2] = b"MZ"
    struct.pack_into("<I", head, 60, 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(contents), 0, 0, 0, len(optional), 0x22)
    at = 64 + len(coff) + len(optional) + 40 * len(contents)
    table, body = b"", b""
    for name, data in contents.items():
        place = struct.pack("<8sIIII", name.encode(), len(data), 0x1000, len(data), at + len(body))
        table += place + bytes(16)
        body += data
    return bytes(head) + coff + bytes(optional) + table + body
