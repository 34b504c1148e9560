from __future__ import annotations

import struct

import pytest

from agent.api.errors import TridentError
from agent.cosi import pe
from tests.unit.cosi.images import bzimage_bytes, pe_bytes, uki_bytes


def refusal(data: bytes) -> str:
    with pytest.raises(TridentError) as caught:
        pe.parse_uki(data)
    assert caught.value.code == "corrupt-os-image"
    return caught.value.message


def test_a_unified_kernel_image_tells_its_command_line_and_kernel() -> None:
    uki = pe.parse_uki(uki_bytes("root=/dev/sda2 ro", "6.1.0-18-amd64"))
    assert uki == pe.Uki("root=/dev/sda2 ro", "6.1.0-18-amd64", "ID=debian")


def test_without_uname_the_kernel_itself_is_asked() -> None:
    assert pe.parse_uki(uki_bytes("", None)).kernel == "6.1.0-13-amd64"


@pytest.mark.parametrize(
    "kernel", [b"", bytes(0x400), b"\0" * 0x202 + b"HdrS" + bytes(200), bzimage_bytes("")]
)
def test_a_kernel_that_tells_nothing_is_refused(kernel: bytes) -> None:
    assert "kernel's release" in refusal(pe_bytes({".linux": kernel}))


def test_a_boot_loader_is_no_unified_kernel_image() -> None:
    assert "holds no kernel" in refusal(pe_bytes({".text": b"code"}))


def test_padding_behind_the_virtual_size_does_not_count() -> None:
    data = bytearray(pe_bytes({".cmdline": b"quiet" + b"x" * 11, ".linux": bzimage_bytes("6.1")}))
    struct.pack_into("<I", data, 64 + 24 + 8, 5)
    assert pe.parse_uki(bytes(data)).cmdline == "quiet"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MZ",
        b"\x7fELF" + bytes(200),
        b"MZ" + bytes(58) + struct.pack("<I", 1 << 31) + bytes(100),
        b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0",
        b"MZ" + bytes(58) + struct.pack("<I", 64) + b"NE\0\0" + bytes(100),
    ],
)
def test_what_is_no_pe_file_is_refused(data: bytes) -> None:
    assert "no PE file" in refusal(data)


def test_malformed_section_tables_are_refused() -> None:
    good = pe_bytes({".linux": bzimage_bytes("6.1")})
    many = bytearray(good)
    struct.pack_into("<H", many, 64 + 4 + 2, 97)
    assert "section table" in refusal(bytes(many))
    assert "section table" in refusal(good[:100])
    outside = bytearray(good)
    struct.pack_into("<I", outside, 64 + 24 + 20, 1 << 31)
    assert "ends behind its end" in refusal(bytes(outside))


def test_absurdly_long_text_is_refused() -> None:
    assert "absurdly large" in refusal(uki_bytes("x" * 70_000, "6.1"))
