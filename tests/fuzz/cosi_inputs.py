"""COSI files to fuzz with: a few valid ones, and mutants that get past the outer checks.

Plain mutants of a COSI file die at the first checksum. Four kinds in five are therefore mutated
inside one layer, tar header, metadata, zstd frame or partition table, and every checksum and size
around that layer is set right again.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from agent.cosi import tar
from agent.cosi.reader import MARKER, METADATA
from tests.fuzz import mutate
from tests.unit.cosi import images
from tests.unit.cosi.images import Piece

FOLDER = Path(__file__).parents[1] / "data" / "cosi"
LARGEST = 64 * 1024
_RECORDS = (
    b"11 mtime=1\n",
    b"20 path=/etc/passwd\n",
    b"19 size=8589934592\n",
    b"13 comment=x\n",
    b"30 GNU.sparse.realsize=123456\n",
    b"99999 mtime=1\n",
    b"x mtime=1\n",
)
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 511, 4096, 2**31, 2**53, 2**63, 2**64, 1.5, 1e400, "", "1.2"),
    *("images/", "images/../x", "/", "\0", "a" * 5000, [], {}, [[[[]]]], "0" * 96),
    *("1.0", "1.1", "1.9", "2.0", "systemd-boot", "grub", "primary-gpt", "partition"),
)


def pieces() -> list[Piece]:
    """Small ones: a mutant is fed every few milliseconds."""
    return list(_pieces())


@cache
def _pieces() -> tuple[Piece, ...]:
    return tuple(images.sample_pieces(esp_bytes=3000, root_bytes=9000))


def valid_files() -> dict[str, bytes]:
    """The seeds by file name: every version and form that the reader accepts."""
    found = pieces()
    grub = images.metadata_of(found)
    entry = {"type": "uki-standalone", "path": "/efi/a.efi", "cmdline": "ro", "kernel": "6.1"}
    systemd_boot = grub | {
        "bootloader": {"type": "systemd-boot", "systemdBoot": {"entries": [entry]}}
    }
    older = {name: value for name, value in grub.items() if name not in ("disk", "compression")}
    good = images.cosi_bytes(found, grub)
    mtime = extension(b"x", b"11 mtime=1\n") + extension(b"g", b"13 comment=x\n")
    return {
        "grub-1.2.cosi": good,
        "systemd-boot-1.2.cosi": images.cosi_bytes(found, systemd_boot),
        "grub-1.1.cosi": images.cosi_bytes(found, older | {"version": "1.1"}),
        "grub-1.0.cosi": images.cosi_bytes(found, older | {"version": "1.0"})[512:],
        "extended-headers.cosi": mtime + good,
        "footer.cosi": good + b"signature",
    }


def extension(typeflag: bytes, records: bytes) -> bytes:
    """An extended tar header."""
    return sealed(images.entry("PaxHeaders/x", records), typeflag)


def sealed(data: bytes, typeflag: bytes | None = None) -> bytes:
    """`data` with the checksum of the tar header at its front set right."""
    block = bytearray(data)
    if typeflag is not None:
        block[156:157] = typeflag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[: tar.BLOCK_BYTES])
    return bytes(block)


def mutants(seeds: Sequence[bytes], number: int) -> Iterator[bytes]:
    """Endless mutants, at most 64 KiB each; the same for the same `number`."""
    source = random.Random(number)
    plain = mutate.mutants(seeds, number, LARGEST)
    kinds: tuple[Callable[[random.Random], bytes], ...] = (
        lambda _source: next(plain),
        lambda source: _header(source, seeds),
        _metadata,
        _frame,
        _table,
    )
    while True:
        yield source.choice(kinds)(source)[:LARGEST]


def uki_mutants(number: int) -> Iterator[bytes]:
    """Mutants of unified kernel images."""
    seeds = [images.uki_bytes("ro quiet", "6.1"), images.uki_bytes("", None)]
    return mutate.mutants(seeds, number, LARGEST)


def _header(source: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One tar header changed, or an extended one inserted; its checksum is right."""
    data = bytearray(source.choice(seeds))
    places = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    at = source.choice(places)
    if source.random() < 0.3:
        records = bytearray(b"".join(source.choices(_RECORDS, k=source.randrange(1, 4))))
        if source.random() < 0.5:
            mutate.change(records, source, seeds)
        data[at:at] = extension(source.choice((b"x", b"g")), bytes(records))
        return bytes(data)
    if source.random() < 0.3:
        data[at + 156] = source.choice(b"\x000123456789xgKLMS")
        return bytes(data[:at]) + sealed(bytes(data[at:]))
    block = bytearray(data[at : at + 512])
    mutate.change(block, source, seeds)
    data[at : at + 512] = block.ljust(512, b"\0")[:512]
    return bytes(data[:at]) + sealed(bytes(data[at:]))


def _metadata(source: random.Random) -> bytes:
    """Metadata with values replaced, removed or doubled, or its text changed."""
    found = pieces()
    document = images.metadata_of(found)
    for _ in range(source.choice((1, 1, 2, 3))):
        _disturb(document, source)
    text = bytearray(json.dumps(document).encode())
    if source.random() < 0.3:
        mutate.change(text, source, [bytes(text), b'{"version":"1.2","version":"1.1"}', b"[" * 999])
    members = [(MARKER, b""), (METADATA, bytes(text))]
    return images.archive(members + [(piece.path, piece.packed) for piece in found])


def _disturb(document: Any, source: random.Random) -> None:
    """Change one value somewhere below `document`."""
    while isinstance(document, dict | list) and document:
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = source.choice(keys)
        child = document[key]
        if isinstance(child, dict | list) and child and source.random() < 0.8:
            document = child
            continue
        action = source.random()
        if action < 0.2:
            del document[key]
        elif action < 0.3 and isinstance(document, list):
            document.append(child)
        else:
            document[key] = source.choice(_VALUES)
        return


def _frame(source: random.Random) -> bytes:
    """A changed zstd frame whose size and digest the metadata tells correctly."""
    found = pieces()
    at = source.randrange(3)
    packed = bytearray(found[at].packed)
    for _ in range(source.choice((1, 1, 2))):
        mutate.change(packed, source, [piece.packed for piece in found])
    found[at] = Piece(found[at].path, found[at].raw, bytes(packed[:20_000]))
    return images.cosi_bytes(found)


def _table(source: random.Random) -> bytes:
    """A changed partition table, half of the time with its checksums right again."""
    found = pieces()
    raw = bytearray(found[0].raw)
    for _ in range(source.choice((1, 1, 2))):
        part = source.choice(((0, 512), (512, 604), (512, 604), (1024, 1024 + 384)))
        piece = bytearray(raw[part[0] : part[1]])
        mutate.change(piece, source, [found[0].raw])
        raw[part[0] : part[1]] = piece.ljust(part[1] - part[0], b"\0")[: part[1] - part[0]]
    if source.random() < 0.7:
        struct.pack_into("<I", raw, 512 + 88, zlib.crc32(raw[1024:]))
        size = min(struct.unpack_from("<I", raw, 512 + 12)[0], 512)
        struct.pack_into("<I", raw, 512 + 16, 0)
        struct.pack_into("<I", raw, 512 + 16, zlib.crc32(raw[512 : 512 + size]))
    found[0] = images.piece(found[0].path, bytes(raw))
    return images.cosi_bytes(found)
