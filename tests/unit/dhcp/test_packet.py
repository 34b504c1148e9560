"""The DHCP codec: round trips, framing, and what is refused."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP

from bootserver.dhcp import packet as codec
from bootserver.dhcp.packet import Packet, PacketError, encode, parse
from tests.kit.dhcp import DATA, MAC, captured

ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
OPTION_CODES = st.integers(1, 254).filter(lambda code: code != 52)
PACKETS = st.builds(
    Packet,
    op=st.sampled_from([1, 2]),
    xid=st.integers(0, 2**32 - 1),
    chaddr=st.binary(max_size=16),
    options=st.dictionaries(OPTION_CODES, st.binary(max_size=600), max_size=12),
    htype=st.integers(0, 255),
    hops=st.integers(0, 255),
    secs=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    ciaddr=ADDRESSES,
    yiaddr=ADDRESSES,
    siaddr=ADDRESSES,
    giaddr=ADDRESSES,
    sname=st.binary(max_size=64).map(lambda name: name.replace(b"\0", b"x")),
    file=st.binary(max_size=128).map(lambda name: name.replace(b"\0", b"x")),
)
HEADER_SIZE = 240


@given(PACKETS)
def test_what_is_encoded_parses_back(packet: Packet) -> None:
    assert parse(encode(packet)) == packet


@given(PACKETS, st.integers(300, 700))
def test_what_fits_a_small_message_parses_back_and_is_no_larger(packet: Packet, size: int) -> None:
    try:
        data = encode(packet, size)
    except PacketError:
        return
    assert len(data) <= size
    assert parse(data) == packet


@given(st.binary(max_size=700))
def test_arbitrary_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        parse(data)
    except PacketError:
        return


@given(st.binary(max_size=400))
def test_arbitrary_options_parse_or_are_refused(area: bytes) -> None:
    head = encode(Packet(op=1, xid=1, chaddr=bytes(6)))[:HEADER_SIZE]
    try:
        packet = parse(head + area)
    except PacketError:
        return
    assert parse(encode(packet)) == packet


@pytest.mark.parametrize("path", sorted(DATA.glob("*.bin")), ids=lambda path: path.stem)
def test_an_independent_codec_reads_the_same_from_real_requests(path: Path) -> None:
    data = path.read_bytes()
    theirs, ours = BOOTP(data), parse(data)
    assert (theirs.xid, theirs.flags, theirs.secs) == (ours.xid, ours.flags, ours.secs)
    assert theirs.chaddr[:6] == ours.chaddr
    kinds = dict(one for one in theirs[DHCP].options if isinstance(one, tuple) and len(one) == 2)
    assert kinds["message-type"] == ours.options[53][0]
    assert kinds["vendor_class_id"] == ours.options[60]
    assert tuple(kinds["param_req_list"]) == tuple(ours.options[55])


def test_an_independent_codec_reads_what_we_write() -> None:
    packet = Packet(
        op=2,
        xid=77,
        chaddr=bytes.fromhex(MAC.replace(":", "")),
        yiaddr=IPv4Address("10.77.0.9"),
        siaddr=IPv4Address("10.77.0.1"),
        file=b"x86_64/snponly.efi",
        options={
            53: b"\x02",
            54: bytes([10, 77, 0, 1]),
            51: bytes([0, 0, 14, 16]),
            60: b"PXEClient",
        },
    )
    theirs = BOOTP(encode(packet))
    assert (theirs.yiaddr, theirs.siaddr) == ("10.77.0.9", "10.77.0.1")
    assert theirs.file.rstrip(b"\0") == b"x86_64/snponly.efi"
    assert theirs[DHCP].options[:4] == [
        ("message-type", 2),
        ("server_id", "10.77.0.1"),
        ("lease_time", 3600),
        ("vendor_class_id", b"PXEClient"),
    ]


def test_a_long_option_is_split_and_joined() -> None:
    packet = Packet(op=1, xid=1, chaddr=b"", options={43: bytes(range(256)) * 3})
    data = encode(packet)
    assert data[HEADER_SIZE : HEADER_SIZE + 2] == bytes([43, 255])
    assert parse(data).options[43] == packet.options[43]


def test_options_overflow_into_file_and_server_name() -> None:
    options = {number: bytes([number]) * 40 for number in range(224, 232)}
    data = encode(Packet(op=2, xid=1, chaddr=b"", options=options), 450)
    assert data[HEADER_SIZE : HEADER_SIZE + 3] == bytes([52, 1, 3])
    assert parse(data).options == options


def test_a_boot_file_name_is_never_overwritten_by_options() -> None:
    options = {number: bytes(40) for number in range(224, 230)}
    packet = Packet(op=2, xid=1, chaddr=b"", options=options, file=b"boot.efi")
    assert parse(encode(packet, 460)).file == b"boot.efi"
    with pytest.raises(PacketError, match="do not fit"):
        encode(packet, 330)


def test_options_after_the_end_are_ignored() -> None:
    data = encode(Packet(op=1, xid=1, chaddr=b"", options={53: b"\x01"}))
    end = data.index(b"\xff", HEADER_SIZE)
    assert parse(data[: end + 1] + bytes([54, 4, 1, 2, 3, 4])).options == {53: b"\x01"}


@pytest.mark.parametrize(
    ("area", "why"),
    [
        (bytes([53]), "before its length"),
        (bytes([53, 2, 1]), "cut off"),
        (bytes([52, 1, 9, 255]), "overload has the value"),
        (bytes([52, 2, 1, 1, 255]), "overload has the value"),
    ],
)
def test_broken_options_are_refused(area: bytes, why: str) -> None:
    head = encode(Packet(op=1, xid=1, chaddr=b""))[:HEADER_SIZE]
    with pytest.raises(PacketError, match=why):
        parse(head + area)


def test_overload_inside_an_overloaded_field_is_refused() -> None:
    head = bytearray(encode(Packet(op=1, xid=1, chaddr=b""))[:HEADER_SIZE])
    head[108:112] = bytes([52, 1, 1, 255])
    with pytest.raises(PacketError, match="inside"):
        parse(bytes(head) + bytes([52, 1, 1, 255]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:239], "too few"),
        (lambda data: data + bytes(codec.MAX_SIZE), "too many"),
        (lambda data: b"\x03" + data[1:], "neither request nor reply"),
        (lambda data: data[:2] + b"\x11" + data[3:], "hardware address of 17"),
        (lambda data: data[:236] + bytes(4) + data[240:], "cookie"),
    ],
)
def test_broken_headers_are_refused(change: object, why: str) -> None:
    data = (DATA / "ovmf-pxe-discover.bin").read_bytes()
    with pytest.raises(PacketError, match=why):
        parse(change(data))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (Packet(op=3, xid=1, chaddr=b""), "neither"),
        (Packet(op=1, xid=1, chaddr=bytes(17)), "hardware address"),
        (Packet(op=1, xid=1, chaddr=b"", file=bytes([65]) * 129), "boot file name"),
        (Packet(op=1, xid=1, chaddr=b"", sname=b"a\0b"), "server name"),
        (Packet(op=1, xid=1, chaddr=b"", options={255: b""}), "framing"),
        (Packet(op=1, xid=2**32, chaddr=b""), "out of range"),
    ],
)
def test_what_can_not_be_written_is_refused(packet: Packet, why: str) -> None:
    with pytest.raises(PacketError, match=why):
        encode(packet)


def test_a_message_is_never_shorter_than_bootp_wants() -> None:
    assert len(encode(Packet(op=2, xid=1, chaddr=b""))) == 300


def test_a_broadcast_request_is_recognised() -> None:
    assert captured("ovmf-pxe-discover").wants_broadcast
    assert not captured("ipxe-bios-discover").wants_broadcast
