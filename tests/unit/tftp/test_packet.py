"""The TFTP codec: round trips, padding, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootserver.tftp.packet import (
    MAX_REQUEST_SIZE,
    Ack,
    Data,
    Error,
    OptionAck,
    Packet,
    PacketError,
    Request,
    data_header,
    encode,
    parse,
)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NAMES = TEXT.filter(bool)
OPTION_NAMES = st.from_regex(r"[a-z]{1,10}", fullmatch=True)
OPTIONS = st.dictionaries(OPTION_NAMES, TEXT, max_size=4)
BLOCKS = st.integers(0, 65535)
PACKETS = st.one_of(
    st.builds(
        Request,
        filename=NAMES,
        mode=st.sampled_from(["octet", "netascii", "mail"]),
        options=OPTIONS,
        write=st.booleans(),
    ).filter(lambda request: len(encode(request)) <= MAX_REQUEST_SIZE),
    st.builds(Data, block=BLOCKS, payload=st.binary(max_size=600)),
    st.builds(Ack, block=BLOCKS),
    st.builds(Error, code=BLOCKS, message=st.from_regex(r"[ -~]{0,40}", fullmatch=True)),
    st.builds(OptionAck, options=OPTIONS),
)


@given(PACKETS)
def test_what_is_encoded_parses_back(packet: Packet) -> None:
    assert parse(encode(packet)) == packet


@given(st.binary(max_size=600))
def test_arbitrary_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        parse(data)
    except PacketError:
        return


@given(st.sampled_from([1, 2, 5, 6]), st.binary(max_size=200))
def test_arbitrary_bodies_parse_or_are_refused(opcode: int, body: bytes) -> None:
    try:
        packet = parse(bytes([0, opcode]) + body)
    except PacketError:
        return
    assert parse(encode(packet)) == packet


def test_a_request_as_firmware_sends_it() -> None:
    data = b"\0\x01x86_64/snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0"
    assert parse(data) == Request(
        "x86_64/snponly.efi", "octet", {"tsize": "0", "blksize": "1468", "windowsize": "4"}
    )


def test_mode_and_option_names_are_compared_without_case() -> None:
    assert parse(b"\0\x01a\0OCTET\0BlkSize\x00512\0") == Request("a", "octet", {"blksize": "512"})


def test_padding_odd_strings_and_repeated_options_are_dropped() -> None:
    data = b"\0\x01a\0octet\0blksize\x00512\0blksize\x001024\0\0\0lonely\0pad"
    assert parse(data) == Request("a", "octet", {"blksize": "512"})


def test_an_error_message_without_its_nul_is_read() -> None:
    assert parse(b"\0\x05\0\x08User aborted") == Error(8, "User aborted")


def test_unprintable_characters_of_an_error_message_are_masked() -> None:
    assert parse(b"\0\x05\0\x00a\n\xffb\0") == Error(0, "a?\ufffdb".replace("\ufffd", "\ufffd"))


def test_block_numbers_wrap_on_the_wire() -> None:
    assert data_header(65536) == b"\0\x03\0\0"
    assert data_header(65537 + 65536) == b"\0\x03\0\x01"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0",
        b"\0\x07",
        b"\x01\x01a\0octet\0",
        b"\0\x01",
        b"\0\x01a",
        b"\0\x01a\0octet",
        b"\0\x01\0octet\0",
        b"\0\x01\xff\xfe\0octet\0",
        b"\0\x01" + b"a" * 600 + b"\0octet\0",
        b"\0\x03\0",
        b"\0\x04\0",
        b"\0\x05",
    ],
)
def test_broken_packets_are_refused(data: bytes) -> None:
    with pytest.raises(PacketError):
        parse(data)


def test_a_nul_in_a_string_can_not_be_written() -> None:
    with pytest.raises(PacketError, match="NUL"):
        encode(Request("a\0b", "octet"))
