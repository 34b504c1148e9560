"""The part of tar that a COSI file may use: plain files, by position. Pure; no I/O.

POSIX.1-2017 pax/ustar and the GNU variant of its magic. Everything that could make two readers
see different archives is refused: links, devices, sparse files, long-name records, extended
headers that override what the plain header says (one exception, see `parse_extension`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.api.errors import Kind, TridentError

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 64 * 1024
"""An extended header larger than this is refused unread."""

_OCTAL_LIMIT = 8**11
_HARMLESS_RECORDS = frozenset(
    {"atime", "ctime", "mtime", "uid", "gid", "uname", "gname", "comment"}
)


class EntryKind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    EXTENSION = "extended header"
    GLOBAL_EXTENSION = "global extended header"


_KINDS = {
    b"0": EntryKind.FILE,
    b"\0": EntryKind.FILE,
    b"5": EntryKind.DIRECTORY,
    b"x": EntryKind.EXTENSION,
    b"g": EntryKind.GLOBAL_EXTENSION,
}
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"K": "a GNU long-link record",
    b"L": "a GNU long-name record",
    b"M": "a multi-volume part",
    b"S": "a sparse file",
}


@dataclass(frozen=True)
class Header:
    """One header block: `size` bytes of data follow it, padded to whole blocks."""

    name: str
    size: int
    kind: EntryKind

    @property
    def padded_size(self) -> int:
        return -(-self.size // BLOCK_BYTES) * BLOCK_BYTES


def corrupt(message: str, hint: str | None = None) -> TridentError:
    """The error of everything that is wrong inside an image file."""
    return TridentError(
        Kind.INVALID_INPUT,
        "corrupt-os-image",
        message,
        hint=hint or "rebuild the image or fetch it again; check it with 'trident-iso cosi verify'",
    )


def parse_header(block: bytes) -> Header | None:
    """Decode one 512-byte header block; None for a block of zeroes (end of archive).

    Raises corrupt-os-image.
    """
    if len(block) != BLOCK_BYTES:
        raise corrupt("the tar header is cut off")
    if not any(block):
        return None
    if block[257:262] != b"ustar":
        raise corrupt("no tar header where one must be: this is not a COSI file")
    if _checksum(block) != _number(block[148:156], "checksum"):
        raise corrupt("a tar header is damaged: its checksum does not match")
    typeflag = block[156:157]
    kind = _KINDS.get(typeflag)
    if kind is None:
        what = _REFUSED.get(typeflag, f"of unknown type {typeflag!r}")
        raise corrupt(f"a tar entry is {what}: a COSI file holds plain files only")
    size = _number(block[124:136], "size")
    if kind is EntryKind.DIRECTORY and size:
        raise corrupt("a directory entry of the tar file claims to hold data")
    name = _name(block)
    if kind in (EntryKind.FILE, EntryKind.DIRECTORY):
        _check_path(name.removesuffix("/") if kind is EntryKind.DIRECTORY else name)
    return Header(name, size, kind)


def parse_extension(data: bytes) -> int | None:
    """Check the records of a pax extended header; the size it sets for the next entry, or None.

    Only times, owners and comments are ignored. `size` is accepted when the plain header could
    not hold it (8 GiB and more), which is how writers store very large images.
    Raises corrupt-os-image.
    """
    size: int | None = None
    while data:
        digits, space, _ = data.partition(b" ")
        if not space or not digits.isdigit() or len(digits) > 6:
            raise corrupt("an extended tar header is malformed")
        length = int(digits)
        record = data[len(digits) + 1 : length]
        if length > len(data) or not record.endswith(b"\n") or b"=" not in record:
            raise corrupt("an extended tar header is malformed")
        key, _, value = record[:-1].partition(b"=")
        name = key.decode("utf-8", "replace")
        if name == "size":
            size = _large_size(value)
        elif name not in _HARMLESS_RECORDS:
            raise corrupt(f"an extended tar header overrides {name!r}: refused")
        data = data[length:]
    return size


def enlarge(header: Header, size: int) -> Header:
    """`header` with the size its extended header gives. Raises corrupt-os-image."""
    if header.size not in (0, size):
        raise corrupt("an extended tar header contradicts the size of its entry: refused")
    return Header(header.name, size, header.kind)


def encode_header(name: str, size: int) -> bytes:
    """The header block (ustar) of a plain file; sizes of 8 GiB and more in base 256.

    Fixed owner, mode and time: the same content gives the same bytes.
    """
    prefix, short = _split_name(name)
    block = bytearray(BLOCK_BYTES)
    block[0 : len(short)] = short
    block[100:108] = b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = _encode_size(size)
    block[136:148] = b"00000000000\0"
    block[156:157] = b"0"
    block[257:265] = b"ustar\x0000"
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b"%06o\0 " % _checksum(bytes(block))
    return bytes(block)


def _checksum(block: bytes) -> int:
    return sum(block[:148]) + 8 * 32 + sum(block[156:])


def _number(field: bytes, what: str) -> int:
    """An octal field, or a positive base-256 one."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        raise corrupt(f"the {what} in a tar header is not a number")
    return int(digits, 8)


def _large_size(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19 or int(value) < _OCTAL_LIMIT:
        raise corrupt("an extended tar header overrides the size of an entry: refused")
    return int(value)


def _name(block: bytes) -> str:
    parts = [_text(block[0:100])]
    if block[257:263] == b"ustar\0":
        parts.insert(0, _text(block[345:500]))
    return "/".join(part for part in parts if part)


def _text(field: bytes) -> str:
    value, _, rest = field.partition(b"\0")
    if any(rest):
        raise corrupt("a tar entry has a NUL inside its name")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise corrupt("a tar entry has a name that is not UTF-8") from None


def _check_path(path: str) -> None:
    if any(part in ("", ".", "..") for part in path.split("/")) or not path.isprintable():
        raise corrupt(f"a tar entry has the path {path!r}: refused")


def _split_name(name: str) -> tuple[bytes, bytes]:
    raw = name.encode()
    if len(raw) <= 100:
        return b"", raw
    cut = raw.find(b"/", len(raw) - 101)
    if cut < 0 or cut > 155:
        raise ValueError(f"the name {name!r} does not fit a tar header")
    return raw[:cut], raw[cut + 1 :]


def _encode_size(size: int) -> bytes:
    if size < _OCTAL_LIMIT:
        return b"%011o\0" % size
    return b"\x80" + size.to_bytes(11, "big")
