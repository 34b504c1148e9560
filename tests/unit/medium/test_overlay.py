from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.medium import overlay

NAMES = st.from_regex(r"[a-z]{1,20}(/[a-z]{1,20}\.yaml)?", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=600), max_size=4))
def test_what_is_encoded_is_decoded(files: dict[str, bytes]) -> None:
    area = overlay.encode(files, 16384)
    assert len(area) == 16384
    assert overlay.decode(area) == files


def test_zeros_are_an_empty_area_and_an_empty_area_is_zeros() -> None:
    assert overlay.decode(bytes(4096)) == {}
    assert overlay.encode({}, 4096) == bytes(4096)


def test_what_just_fits_is_taken_and_one_byte_more_is_refused_with_both_sizes() -> None:
    capacity = 512 * 10
    room = capacity - 512 - 1024
    assert overlay.decode(overlay.encode({"a": b"x" * room}, capacity)) == {"a": b"x" * room}
    with pytest.raises(TridentError, match=r"needs 5632 bytes, .* room for 5120") as caught:
        overlay.encode({"a": b"x" * (room + 1)}, capacity)
    assert caught.value.code == "overlay-too-large"


def test_a_damaged_area_is_not_taken_for_an_empty_one() -> None:
    area = bytearray(overlay.encode({"a": b"x"}, 4096))
    area[5] ^= 1
    with pytest.raises(TridentError) as caught:
        overlay.decode(bytes(area))
    assert caught.value.code == "iso-unreadable"
