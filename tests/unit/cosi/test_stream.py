from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.cosi.reader import CosiImage, open_image
from agent.cosi.source import open_source
from agent.cosi.stream import extract_image, write_image
from tests.unit.cosi import images


def opened(tmp_path: Path, data: bytes) -> CosiImage:
    file = tmp_path / "image.cosi"
    file.write_bytes(data)
    return open_image(open_source(file.as_uri()), None)


def no_progress(done: int, total: int) -> None:
    return None


def test_an_image_arrives_at_its_target_byte_by_byte(tmp_path: Path) -> None:
    pieces = images.sample_pieces(root_bytes=9_000_001)
    image = opened(tmp_path, images.cosi_bytes(pieces))
    seen: list[tuple[int, int]] = []
    report = write_image(
        image,
        image.metadata.images[1].image,
        tmp_path / "target",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (tmp_path / "target").read_bytes() == pieces[2].raw
    assert report.written_bytes == 9_000_001
    assert report.sha384 == image.metadata.images[1].image.sha384
    assert seen[-1] == (9_000_001, 9_000_001)
    assert threading.active_count() == 1


def test_an_extracted_image_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    pieces = images.sample_pieces()
    image = opened(tmp_path, images.cosi_bytes(pieces))
    extract_image(image, image.metadata.images[0].image, tmp_path / "esp.img")
    assert (tmp_path / "esp.img").read_bytes() == pieces[1].raw
    assert sorted(path.name for path in tmp_path.iterdir()) == ["esp.img", "image.cosi"]


def test_a_flipped_bit_in_the_compressed_bytes_is_corrupt(tmp_path: Path) -> None:
    pieces = images.sample_pieces()
    data = bytearray(images.cosi_bytes(pieces))
    at = bytes(data).index(pieces[2].packed) + len(pieces[2].packed) * 2 // 3
    data[at] ^= 4
    image = opened(tmp_path, bytes(data))
    with pytest.raises(TridentError) as caught:
        extract_image(image, image.metadata.images[1].image, tmp_path / "root.img")
    assert caught.value.code == "corrupt-os-image"
    assert [path.name for path in tmp_path.iterdir()] == ["image.cosi"]
    assert threading.active_count() == 1
