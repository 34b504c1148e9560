"""DHCP messages as values: `parse` and `encode`, no I/O and no knowledge of booting.

RFC 2131 (layout), RFC 2132 (options, overload by option 52), RFC 3396 (long and repeated options
are one value). Every length is checked; parsing is linear in the size of the datagram.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

REQUEST_OP = 1
REPLY_OP = 2
BROADCAST_FLAG = 0x8000
ANY = IPv4Address(0)

_HEADER = struct.Struct("!BBBBIHHIIII16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _OVERLOAD, _END = 0, 52, 255
_FILE_SIZE, _SNAME_SIZE = 128, 64
_BOOTP_MINIMUM = 300
MAX_SIZE = 65_507
"""The largest UDP payload over IPv4, in bytes."""


class PacketError(ValueError):
    """The datagram is no DHCP message, or the message does not fit into a datagram."""


@dataclass(frozen=True)
class Packet:
    """One message. `chaddr` has `hlen` bytes; `sname` and `file` end before their first NUL.

    `options` maps codes 1..254 to whole values in the order of the wire; pad, end and overload
    are framing and never appear.
    """

    op: int
    xid: int
    chaddr: bytes
    options: Mapping[int, bytes] = field(default_factory=dict)
    htype: int = 1
    hops: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: IPv4Address = ANY
    yiaddr: IPv4Address = ANY
    siaddr: IPv4Address = ANY
    giaddr: IPv4Address = ANY
    sname: bytes = b""
    file: bytes = b""

    @property
    def wants_broadcast(self) -> bool:
        return bool(self.flags & BROADCAST_FLAG)


def parse(data: bytes) -> Packet:
    """Read one datagram. Raises PacketError."""
    if len(data) < _HEADER.size:
        raise PacketError(f"{len(data)} bytes are too few for a DHCP message")
    if len(data) > MAX_SIZE:
        raise PacketError(f"{len(data)} bytes are too many for a DHCP message")
    (
        op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr,
        chaddr, sname, file, cookie,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    if cookie != _COOKIE:
        raise PacketError("no DHCP magic cookie (plain BOOTP is not served)")
    if op not in (REQUEST_OP, REPLY_OP):
        raise PacketError(f"op {op} is neither request nor reply")
    if hlen > len(chaddr):
        raise PacketError(f"hardware address of {hlen} bytes")
    options: dict[int, bytes] = {}
    _collect(data[_HEADER.size :], options)
    sname, file = _unfold(options, sname, file)
    return Packet(
        op=op,
        xid=xid,
        chaddr=chaddr[:hlen],
        options=options,
        htype=htype,
        hops=hops,
        secs=secs,
        flags=flags,
        ciaddr=IPv4Address(ciaddr),
        yiaddr=IPv4Address(yiaddr),
        siaddr=IPv4Address(siaddr),
        giaddr=IPv4Address(giaddr),
        sname=sname,
        file=file,
    )


def encode(packet: Packet, max_size: int = MAX_SIZE) -> bytes:
    """Write one datagram of at most `max_size` bytes (UDP payload), at least BOOTP's 300.

    Options that do not fit go to `file` and `sname` when those are free (overload).
    Raises PacketError when that is not enough either, or when a field is out of range.
    """
    _check(packet)
    chunks = list(_chunks(packet.options))
    room = max_size - _HEADER.size - 1
    if sum(map(len, chunks)) <= room:
        return _assemble(packet, b"".join(chunks), packet.sname, packet.file)
    return _overloaded(packet, chunks, room)


def suboptions(value: bytes) -> dict[int, bytes]:
    """Read encapsulated options (options 43 and 82). Raises PacketError."""
    found: dict[int, bytes] = {}
    _collect(value, found)
    return found


def _collect(area: bytes, options: dict[int, bytes]) -> None:
    """Add the options of one area; repeated codes are concatenated (RFC 3396)."""
    offset, size = 0, len(area)
    while offset < size:
        code = area[offset]
        offset += 1
        if code == _PAD:
            continue
        if code == _END:
            return
        if offset >= size:
            raise PacketError(f"option {code} is cut off before its length")
        start = offset + 1
        offset = start + area[offset]
        if offset > size:
            raise PacketError(f"option {code} is cut off")
        value = area[start:offset]
        options[code] = options[code] + value if code in options else value


def _unfold(options: dict[int, bytes], sname: bytes, file: bytes) -> tuple[bytes, bytes]:
    """Read options that overflowed into `file` (1), `sname` (2) or both (3)."""
    overload = options.pop(_OVERLOAD, b"")
    where = overload[0] if len(overload) == 1 else 0
    if overload and where not in (1, 2, 3):
        raise PacketError(f"option overload has the value {overload.hex()}")
    if where & 1:
        _collect(file, options)
        file = b""
    if where & 2:
        _collect(sname, options)
        sname = b""
    if _OVERLOAD in options:
        raise PacketError("option overload inside an overloaded field")
    return sname.split(b"\0", 1)[0], file.split(b"\0", 1)[0]


def _check(packet: Packet) -> None:
    if packet.op not in (REQUEST_OP, REPLY_OP):
        raise PacketError(f"op {packet.op} is neither request nor reply")
    if len(packet.chaddr) > 16:
        raise PacketError(f"hardware address of {len(packet.chaddr)} bytes")
    if len(packet.file) > _FILE_SIZE or b"\0" in packet.file:
        raise PacketError("the boot file name does not fit its field")
    if len(packet.sname) > _SNAME_SIZE or b"\0" in packet.sname:
        raise PacketError("the server name does not fit its field")
    for code in packet.options:
        if not 0 < code < _END or code == _OVERLOAD:
            raise PacketError(f"option {code} is framing")


def _chunks(options: Mapping[int, bytes]) -> Iterator[bytes]:
    """Each option as it stands on the wire; values above 255 bytes become several options."""
    for code, value in options.items():
        for start in range(0, max(len(value), 1), 255):
            piece = value[start : start + 255]
            yield bytes((code, len(piece))) + piece


def _overloaded(packet: Packet, chunks: list[bytes], room: int) -> bytes:
    """Spread the options over the options field, `file` and `sname`, in this order (RFC 3396)."""
    spaces = [("options", room - 3)]
    spaces += [("file", _FILE_SIZE - 1)] if not packet.file else []
    spaces += [("sname", _SNAME_SIZE - 1)] if not packet.sname else []
    filled = {"options": b"", "file": b"", "sname": b""}
    remaining = iter(spaces)
    name, free = next(remaining)
    for chunk in chunks:
        while len(chunk) > free:
            following = next(remaining, None)
            if following is None:
                raise PacketError("the options do not fit into the message")
            name, free = following
        filled[name] += chunk
        free -= len(chunk)
    used = (1 if filled["file"] else 0) | (2 if filled["sname"] else 0)
    area = bytes((_OVERLOAD, 1, used)) + filled["options"]
    file = filled["file"] + b"\xff" if filled["file"] else packet.file
    sname = filled["sname"] + b"\xff" if filled["sname"] else packet.sname
    return _assemble(packet, area, sname, file)


def _assemble(packet: Packet, area: bytes, sname: bytes, file: bytes) -> bytes:
    try:
        header = _HEADER.pack(
            packet.op,
            packet.htype,
            len(packet.chaddr),
            packet.hops,
            packet.xid,
            packet.secs,
            packet.flags,
            int(packet.ciaddr),
            int(packet.yiaddr),
            int(packet.siaddr),
            int(packet.giaddr),
            packet.chaddr,
            sname,
            file,
            _COOKIE,
        )
    except struct.error as error:
        raise PacketError(f"a header field is out of range: {error}") from None
    return (header + area + b"\xff").ljust(_BOOTP_MINIMUM, b"\0")
