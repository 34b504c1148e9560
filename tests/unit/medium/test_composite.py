"""Bytes laid over an image that stays as it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.medium import composite
from agent.medium.composite import Beginning, Laid

SIZE = 3 * composite.BLOCK_BYTES + 777
PLACES = {4096: b"first".ljust(2048, b"\0"), composite.BLOCK_BYTES - 100: b"x" * 300}


@pytest.fixture(name="image", scope="module")
def open_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("image") / "base"
    path.write_bytes(os.urandom(SIZE))
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def expected(image: int) -> bytes:
    whole = bytearray(os.pread(image, SIZE, 0))
    for offset, data in PLACES.items():
        whole[offset : offset + len(data)] = data
    return bytes(whole)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, SIZE - 1), st.integers(0, SIZE))
def test_every_stretch_is_that_of_the_changed_image(image: int, start: int, length: int) -> None:
    length = min(length, SIZE - start)
    laid = Laid.of(PLACES)
    parts = list(composite.blocks(image, laid, start, length))
    whole = expected(image)
    assert b"".join(parts) == whole[start : start + length]
    assert all(len(part) <= composite.BLOCK_BYTES for part in parts)
    if laid.spares(start, length):
        assert b"".join(parts) == os.pread(image, length, start)


def test_the_digest_is_that_of_the_whole_however_it_was_begun(image: int) -> None:
    laid = Laid.of(PLACES)
    wanted = hashlib.sha384(expected(image)).hexdigest()
    for end in (0, 1000, laid.first):
        before = Beginning(image, end)
        assert composite.digest(image, laid, SIZE, before) == wanted
        assert composite.digest(image, laid, SIZE, before) == wanted


def test_a_stretch_beside_the_patches_is_the_images_own() -> None:
    laid = Laid.of(PLACES)
    assert laid.spares(0, 4096)
    assert not laid.spares(0, 4097)
    assert not laid.spares(4096 + 2047, 1)
    assert laid.spares(4096 + 2048, 10)


def test_what_is_laid_over_is_named_by_its_bytes_and_places() -> None:
    assert Laid.of({0: b"a"}).sha384 != Laid.of({1: b"a"}).sha384
    assert Laid.of({0: b"a"}).sha384 != Laid.of({0: b"a\0"}).sha384
    assert Laid.of({0: b"a"}).sha384 == Laid.of({0: b"a"}).sha384


def test_an_image_that_ends_too_early_is_an_error_and_not_a_short_answer(image: int) -> None:
    with pytest.raises(OSError, match="ends at byte"):
        list(composite.blocks(image, Laid.of(PLACES), SIZE - 10, 20))
