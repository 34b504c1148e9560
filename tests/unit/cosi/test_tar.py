from __future__ import annotations

import io
import tarfile
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.cosi import tar

NAMES = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=12),
    min_size=1,
    max_size=6,
).map("/".join)


def altered(offset: int, field: bytes, name: str = "images/a") -> bytes:
    """A valid header with one field replaced and the checksum set right again."""
    block = bytearray(tar.encode_header(name, 1000))
    block[offset : offset + len(field)] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def refusal(block: bytes) -> str:
    with pytest.raises(TridentError) as caught:
        tar.parse_header(block)
    assert caught.value.code == "corrupt-os-image"
    return caught.value.message


@given(name=NAMES, size=st.integers(0, 2**62))
def test_what_is_encoded_is_parsed_back(name: str, size: int) -> None:
    header = tar.parse_header(tar.encode_header(name, size))
    assert header == tar.Header(name, size, tar.EntryKind.FILE)


@given(name=NAMES, size=st.integers(0, 100))
def test_python_reads_our_headers_as_we_mean_them(name: str, size: int) -> None:
    data = tar.encode_header(name, size) + bytes(-(-size // 512) * 512) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.size, member.isreg()) == (name, size, True)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_of_other_writers_are_read(form: Literal[0, 1, 2]) -> None:
    info = tarfile.TarInfo("images/root.rawzst")
    info.size = 12345
    header = tar.parse_header(info.tobuf(form)[:512])
    assert header == tar.Header("images/root.rawzst", 12345, tar.EntryKind.FILE)


def test_a_name_too_long_for_one_field_is_split() -> None:
    name = "images/" + "d" * 90 + "/" + "f" * 90
    header = tar.parse_header(tar.encode_header(name, 1))
    assert header is not None
    assert header.name == name


def test_a_name_that_fits_no_header_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tar.encode_header("images/" + "f" * 300, 1)


def test_zeroes_end_the_archive() -> None:
    assert tar.parse_header(bytes(512)) is None


@pytest.mark.parametrize("typeflag", list(b"12346KLMSADVNX7z"))
def test_everything_but_plain_files_is_refused(typeflag: int) -> None:
    assert "plain files only" in refusal(altered(156, bytes([typeflag])))


@pytest.mark.parametrize(
    "name",
    [b"/etc/passwd", b"../x", b"images/../../x", b"./metadata.json", b"images//x", b"a/", b"a\nb"],
)
def test_paths_that_lead_elsewhere_are_refused(name: bytes) -> None:
    assert "has the path" in refusal(altered(0, name.ljust(100, b"\0")))


def test_a_nul_inside_a_name_is_refused() -> None:
    assert "NUL" in refusal(altered(0, b"images/a\0hidden".ljust(100, b"\0")))


def test_a_name_that_is_not_utf8_is_refused() -> None:
    assert "UTF-8" in refusal(altered(0, b"\xff\xfe".ljust(100, b"\0")))


@pytest.mark.parametrize("size", [b"12345678901x", b"            ", b"\xff" * 12, b"-0000000001\0"])
def test_a_size_that_is_no_number_is_refused(size: bytes) -> None:
    assert "not a number" in refusal(altered(124, size))


def test_a_flipped_bit_anywhere_in_a_header_is_noticed_or_changes_nothing() -> None:
    """F44."""
    block = tar.encode_header("images/a", 1000)
    refused = 0
    for bit in range(8 * len(block)):
        flipped = bytearray(block)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert tar.parse_header(bytes(flipped)) == tar.parse_header(block)
        except TridentError:
            refused += 1
    # What passes are other spellings of the checksum: a blank for a leading zero or a NUL.
    assert refused >= 8 * len(block) - 8


def test_a_cut_off_header_is_refused() -> None:
    assert "cut off" in refusal(bytes(511))


def test_a_foreign_file_is_refused_by_its_magic() -> None:
    assert "not a COSI file" in refusal(b"<html>".ljust(512, b" "))


def test_directories_are_recognised_and_hold_nothing() -> None:
    folder = altered(156, b"5", "images")
    assert "claims to hold data" in refusal(folder)
    empty = bytearray(tar.encode_header("images", 0))
    empty[156:157] = b"5"
    empty[148:156] = b" " * 8
    empty[148:156] = b"%06o\0 " % sum(empty)
    header = tar.parse_header(bytes(empty))
    assert header == tar.Header("images", 0, tar.EntryKind.DIRECTORY)


def record(text: str) -> bytes:
    length = len(text) + 2
    while len(f"{length} {text}\n") != length:
        length += 1
    return f"{length} {text}\n".encode()


def test_an_extended_header_may_give_times_and_a_size_the_plain_one_cannot_hold() -> None:
    assert tar.parse_extension(record("mtime=1.5") + record("uname=root")) is None
    assert tar.parse_extension(record(f"size={8**11}")) == 8**11


@pytest.mark.parametrize(
    "data",
    [
        record("path=../../etc/passwd"),
        record("linkpath=x"),
        record("GNU.sparse.major=1"),
        record("size=100"),
        record("size=-1"),
        record("size=1e12"),
        b"5 a=b",
        b"99 a=b\n",
        b"0 a=b\n",
        b"x a=b\n",
        b"12345678 a=b\n",
        b"6 a=b\n\0",
        b"\n",
        b"5 ab\n",
    ],
)
def test_an_extended_header_that_overrides_or_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(TridentError, match="extended tar header"):
        tar.parse_extension(data)


def test_an_extended_size_may_not_contradict_the_plain_one() -> None:
    plain = tar.Header("images/a", 0, tar.EntryKind.FILE)
    assert tar.enlarge(plain, 8**11).size == 8**11
    with pytest.raises(TridentError, match="contradicts"):
        tar.enlarge(tar.Header("images/a", 5, tar.EntryKind.FILE), 8**11)
