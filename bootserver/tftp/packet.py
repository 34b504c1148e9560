"""TFTP packets as values: `parse` and the encoders, no I/O.

RFC 1350 (packets), RFC 2347 (options and OACK). Option names are lower case in values; the first of
two options with the same name counts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

MAX_REQUEST_SIZE = 512
"""Bytes of a request (RFC 2347)."""
HEADER_SIZE = 4
"""Bytes of a DATA packet's header."""
_SHORT = struct.Struct("!HH")


class PacketError(ValueError):
    """The datagram is no TFTP packet, or the value does not fit into one."""


class Opcode(IntEnum):
    """First two bytes of every packet."""

    READ = 1
    WRITE = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6


class ErrorCode(IntEnum):
    """Codes of ERROR packets (RFC 1350, 8 from RFC 2347)."""

    UNDEFINED = 0
    NOT_FOUND = 1
    ACCESS = 2
    FULL = 3
    ILLEGAL = 4
    UNKNOWN_TRANSFER = 5
    EXISTS = 6
    NO_USER = 7
    OPTIONS_REFUSED = 8


@dataclass(frozen=True)
class Request:
    """RRQ or WRQ. `filename` as sent (UTF-8), `mode` lower case."""

    filename: str
    mode: str
    options: Mapping[str, str] = field(default_factory=dict)
    write: bool = False


@dataclass(frozen=True)
class Data:
    """Block `block` (modulo 65536) of a file."""

    block: int
    payload: bytes


@dataclass(frozen=True)
class Ack:
    """Everything up to `block` (modulo 65536) has arrived."""

    block: int


@dataclass(frozen=True)
class Error:
    """The sender gave up. `code` may be none of ours."""

    code: int
    message: str


@dataclass(frozen=True)
class OptionAck:
    """The options the server takes, with the values it takes them at."""

    options: Mapping[str, str]


Packet = Request | Data | Ack | Error | OptionAck


def parse(data: bytes) -> Packet:
    """Read one datagram. Raises PacketError."""
    if len(data) < 2:
        raise PacketError("too short for an opcode")
    match int.from_bytes(data[:2], "big"):
        case Opcode.READ | Opcode.WRITE:
            return _parse_request(data)
        case Opcode.DATA if len(data) >= HEADER_SIZE:
            return Data(int.from_bytes(data[2:4], "big"), data[4:])
        case Opcode.ACK if len(data) >= HEADER_SIZE:
            return Ack(int.from_bytes(data[2:4], "big"))
        case Opcode.ERROR if len(data) >= HEADER_SIZE:
            return Error(int.from_bytes(data[2:4], "big"), _lossy_text(data[4:]))
        case Opcode.OACK:
            return OptionAck(_parse_options(_strings(data[2:])))
        case opcode:
            raise PacketError(f"opcode {opcode} with {len(data)} bytes")


def encode(packet: Packet) -> bytes:
    """Write one datagram. Raises PacketError."""
    match packet:
        case Request():
            opcode = Opcode.WRITE if packet.write else Opcode.READ
            return opcode.to_bytes(2, "big") + _join(
                (packet.filename, packet.mode, *_flat(packet.options))
            )
        case Data(block, payload):
            return data_header(block) + payload
        case Ack(block):
            return _SHORT.pack(Opcode.ACK, block & 0xFFFF)
        case Error(code, message):
            return _SHORT.pack(Opcode.ERROR, code & 0xFFFF) + _join((message,))
        case OptionAck(options):
            return Opcode.OACK.to_bytes(2, "big") + _join(_flat(options))


def data_header(block: int) -> bytes:
    """The header of a DATA packet; `block` counts on from 1 and wraps to 0 on the wire."""
    return _SHORT.pack(Opcode.DATA, block & 0xFFFF)


def _parse_request(data: bytes) -> Request:
    if len(data) > MAX_REQUEST_SIZE:
        raise PacketError(f"a request of {len(data)} bytes")
    strings = _strings(data[2:])
    if len(strings) < 2 or not strings[0]:
        raise PacketError("a request without file name or mode")
    options = _parse_options(strings[2:])
    return Request(strings[0], strings[1].lower(), options, data[1] == Opcode.WRITE)


def _parse_options(strings: list[str]) -> dict[str, str]:
    """Pairs of name and value. What does not form a pair, or has no name, is dropped."""
    options: dict[str, str] = {}
    for name, value in zip(strings[::2], strings[1::2], strict=False):
        if name:
            options.setdefault(name.lower(), value)
    return options


def _strings(data: bytes) -> list[str]:
    """Strings that each end with NUL; padding after the last (some ROMs send it) is dropped."""
    *terminated, _ = data.split(b"\0")
    try:
        return [one.decode() for one in terminated]
    except UnicodeDecodeError as error:
        raise PacketError(f"a string is not UTF-8: {error}") from None


def _lossy_text(data: bytes) -> str:
    text = data.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)


def _flat(options: Mapping[str, str]) -> list[str]:
    return [text for pair in options.items() for text in pair]


def _join(strings: tuple[str, ...] | list[str]) -> bytes:
    if any("\0" in one for one in strings):
        raise PacketError("a string holds a NUL")
    return b"".join(one.encode() + b"\0" for one in strings)
