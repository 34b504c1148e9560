from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso_builder.cosi.superblock import Family, Superblock, identify
from tests.unit.cosi import images

ANY = "6d3c1f0a-8d53-4c1b-9b1e-0f4a5c7e2d11"


def test_file_systems_are_recognised_by_their_front() -> None:
    assert identify(images.ext_front(ANY, 5 << 20)) == Superblock(Family.EXT, ANY, 5 << 20)
    assert identify(images.fat_front("C3D4-250D", 4 << 20)) == Superblock(
        Family.FAT, "C3D4-250D", 4 << 20
    )
    xfs = struct.pack(">4sIQ16x", b"XFSB", 4096, 81920) + UUID(ANY).bytes + bytes(512)
    assert identify(xfs) == Superblock(Family.XFS, ANY, 4096 * 81920)


def test_a_hash_tree_tells_how_much_it_covers() -> None:
    form = "<8sII16s32sIIQ"
    front = struct.pack(form, b"verity\0\0", 1, 1, UUID(ANY).bytes, b"sha256", 4096, 4096, 7)
    assert identify(front + bytes(512)) == Superblock(Family.VERITY, ANY, 7 * 4096)


def test_large_ext_file_systems_have_a_high_half() -> None:
    front = bytearray(images.ext_front(ANY, 1 << 20))
    struct.pack_into("<I", front, 1024 + 0x60, 0x80)
    struct.pack_into("<I", front, 1024 + 0x150, 1)
    found = identify(bytes(front))
    assert found is not None
    assert found.size_bytes == (1 << 20) + (1 << 42)


@pytest.mark.parametrize("front", [b"", bytes(4096), b"XFSB", b"x" * 4096])
def test_nothing_else_is_taken_for_a_file_system(front: bytes) -> None:
    assert identify(front) is None


@given(st.binary(max_size=2200))
def test_no_front_makes_it_crash(front: bytes) -> None:
    identify(front)
    identify(bytes(510) + b"\x55\xaa" + front)
    identify(bytes(1080) + b"\x53\xef" + front)
