from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.cosi.metadata import ImageFile
from agent.cosi.reader import CosiImage, open_image
from agent.cosi.source import open_source
from agent.cosi.stream import check_image, check_window, extract_image, read_image, write_image
from tests.unit.cosi import images
from tests.unit.cosi.images import Piece


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert threading.active_count() == 1


def no_progress(done: int, total: int) -> None:
    return None


@pytest.fixture
def target(tmp_path: Path) -> Path:
    file = tmp_path / "target"
    file.touch()
    return file


def opened(tmp_path: Path, data: bytes) -> CosiImage:
    file = tmp_path / "image.cosi"
    file.write_bytes(data)
    return open_image(open_source(file.as_uri()), None)


def root_of(image: CosiImage) -> ImageFile:
    return image.metadata.images[1].image


def with_root(tmp_path: Path, packed: bytes, raw: bytes, **described: Any) -> CosiImage:
    """An image whose root is `packed`; `described` overrides what its metadata says."""
    gpt, esp, _ = images.sample_pieces()
    root = Piece("images/root.rawzst", raw, packed)
    metadata = images.metadata_of([gpt, esp, root])
    for place in (metadata["images"][1], metadata["disk"]["gptRegions"][2]):
        place["image"] |= described
    return opened(tmp_path, images.cosi_bytes([gpt, esp, root], metadata))


def refusal(image: CosiImage, tmp_path: Path) -> str:
    """The complaint, after checking that extraction left nothing behind."""
    with pytest.raises(TridentError) as caught:
        extract_image(image, root_of(image), tmp_path / "root.img")
    assert caught.value.identifier == "invalid-input/corrupt-os-image"
    assert [path.name for path in tmp_path.iterdir()] == ["image.cosi"]
    return caught.value.message


@pytest.mark.parametrize("size", [1, 511, 4096, 2**21, 2**21 + 1, 9_000_001])
def test_an_image_arrives_at_its_target_byte_by_byte(
    tmp_path: Path, target: Path, size: int
) -> None:
    pieces = images.sample_pieces(root_bytes=size)
    image = opened(tmp_path, images.cosi_bytes(pieces))
    report = write_image(image, root_of(image), target, progress=no_progress)
    assert target.read_bytes() == pieces[2].raw
    assert report.written_bytes == size
    assert report.compressed_bytes == len(pieces[2].packed)
    assert report.sha384 == root_of(image).sha384


def test_an_empty_image_is_written_as_nothing(tmp_path: Path) -> None:
    image = with_root(tmp_path, images.compress(b""), b"")
    assert extract_image(image, root_of(image), tmp_path / "root.img").written_bytes == 0
    assert (tmp_path / "root.img").read_bytes() == b""


def test_progress_ends_with_everything_done_and_runs_in_the_callers_thread(
    tmp_path: Path,
    target: Path,
) -> None:
    image = opened(tmp_path, images.cosi_bytes(images.sample_pieces(root_bytes=5_000_000)))
    seen: list[tuple[int, int]] = []
    threads: set[threading.Thread] = set()

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        threads.add(threading.current_thread())

    write_image(image, root_of(image), target, progress=progress)
    assert seen[-1] == (5_000_000, 5_000_000)
    assert threads == {threading.current_thread()}


def test_what_progress_raises_stops_the_stream(tmp_path: Path, target: Path) -> None:
    image = opened(tmp_path, images.cosi_bytes())

    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image(image, root_of(image), target, progress=progress)


def test_an_extracted_image_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    pieces = images.sample_pieces()
    image = opened(tmp_path, images.cosi_bytes(pieces))
    extract_image(image, image.metadata.images[0].image, tmp_path / "esp.img")
    assert (tmp_path / "esp.img").read_bytes() == pieces[1].raw
    assert sorted(path.name for path in tmp_path.iterdir()) == ["esp.img", "image.cosi"]


def test_checking_and_reading_into_memory_see_the_same_content(tmp_path: Path) -> None:
    pieces = images.sample_pieces()
    image = opened(tmp_path, images.cosi_bytes(pieces))
    assert read_image(image, root_of(image)) == pieces[2].raw
    assert check_image(image, root_of(image)).written_bytes == len(pieces[2].raw)


def test_an_image_too_large_for_memory_is_not_read_into_it(tmp_path: Path) -> None:
    image = with_root(tmp_path, images.compress(b"x"), b"x", uncompressedSize=1 << 40)
    with pytest.raises(TridentError, match="into memory"):
        read_image(image, root_of(image))


def test_several_frames_and_skippable_ones_are_one_image(tmp_path: Path) -> None:
    raw = images.noise(300_000)
    skippable = struct.pack("<II", 0x184D2A50, 5) + b"notes"
    packed = images.compress(raw[:100_000]) + skippable + images.compress(raw[100_000:])
    image = with_root(tmp_path, packed, raw)
    assert read_image(image, root_of(image)) == raw


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_in_the_compressed_bytes_is_corrupt(tmp_path: Path, part: float) -> None:
    """F44."""
    pieces = images.sample_pieces()
    data = bytearray(images.cosi_bytes(pieces))
    data[bytes(data).index(pieces[2].packed) + int(len(pieces[2].packed) * part)] ^= 4
    refusal(opened(tmp_path, bytes(data)), tmp_path)


def test_a_wrong_digest_alone_is_corrupt(tmp_path: Path) -> None:
    raw = images.noise(50_000)
    image = with_root(tmp_path, images.compress(raw), raw, sha384="0" * 96)
    assert "SHA-384" in refusal(image, tmp_path)


@pytest.mark.parametrize("missing", [1, 5, 1000])
def test_a_frame_cut_short_is_corrupt(tmp_path: Path, missing: int) -> None:
    """F43."""
    raw = images.noise(500_000)
    image = with_root(tmp_path, images.compress(raw)[: -missing - 4], raw)
    assert "shorter" in refusal(image, tmp_path)


def test_more_data_than_announced_is_never_written(tmp_path: Path, target: Path) -> None:
    """F46, a bomb: tiny compressed, huge decompressed."""
    raw = bytes(64 * 2**20)
    image = with_root(tmp_path, images.compress(raw), raw, uncompressedSize=1_000_000)
    with pytest.raises(TridentError, match="is larger, decompressed"):
        write_image(image, root_of(image), target, progress=no_progress)
    assert target.stat().st_size <= 1_000_000


@pytest.mark.parametrize("excess", [0, 1])
def test_f46_one_byte_more_than_announced_is_one_too_many(
    tmp_path: Path, target: Path, excess: int
) -> None:
    raw = bytes(3 * 2**20 + excess)
    image = with_root(tmp_path, images.compress(raw), raw, uncompressedSize=3 * 2**20)
    if not excess:
        write_image(image, root_of(image), target, progress=no_progress)
        return
    with pytest.raises(TridentError, match="is larger, decompressed"):
        write_image(image, root_of(image), target, progress=no_progress)
    assert target.stat().st_size <= 3 * 2**20


def test_f46_a_frame_that_claims_2_to_63_bytes_is_refused(tmp_path: Path, target: Path) -> None:
    """Magic, content size, a window of 1 KiB; then one raw block of 4 bytes, the last."""
    frame = b"\x28\xb5\x2f\xfd\xc0\x00" + struct.pack("<Q", 1 << 63) + b"\x21\x00\x00abcd"
    image = with_root(tmp_path, frame, b"abcd")
    with pytest.raises(TridentError) as caught:
        write_image(image, root_of(image), target, progress=no_progress)
    assert caught.value.identifier == "invalid-input/corrupt-os-image"
    assert target.stat().st_size <= 4


def test_less_data_than_announced_is_corrupt(tmp_path: Path) -> None:
    raw = images.noise(50_000)
    image = with_root(tmp_path, images.compress(raw), raw, uncompressedSize=50_001)
    assert "1 bytes shorter" in refusal(image, tmp_path)


def test_bytes_behind_the_last_frame_are_corrupt(tmp_path: Path) -> None:
    raw = images.noise(50_000)
    image = with_root(tmp_path, images.compress(raw) + b"trailing", raw)
    assert "cannot be decompressed" in refusal(image, tmp_path)


def test_what_is_no_zstd_at_all_is_corrupt(tmp_path: Path) -> None:
    image = with_root(tmp_path, images.noise(5000), b"x" * 5000)
    assert "cannot be decompressed" in refusal(image, tmp_path)


def test_a_window_above_the_announced_one_is_corrupt(tmp_path: Path) -> None:
    """F46."""
    raw = images.noise(9_000_000)
    image = with_root(tmp_path, images.compress(raw, window_log=23), raw)
    assert "memory" in refusal(image, tmp_path)


def test_a_window_beyond_the_memory_is_refused_before_anything_is_written(
    tmp_path: Path, target: Path
) -> None:
    """F46."""
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces)
    metadata["compression"]["maxWindowLog"] = 30
    image = opened(tmp_path, images.cosi_bytes(pieces, metadata))
    assert check_window(image, 1 << 30) == 1 << 30
    with pytest.raises(TridentError, match="window of 2\\^30 bytes") as caught:
        write_image(
            image,
            root_of(image),
            target,
            progress=no_progress,
            memory_bytes=2**30 - 1,
        )
    assert caught.value.identifier == "invalid-input/load-cosi"
    assert target.read_bytes() == b""


def test_a_window_that_zstd_does_not_know_is_refused(tmp_path: Path) -> None:
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces)
    metadata["compression"]["maxWindowLog"] = 2**31
    image = opened(tmp_path, images.cosi_bytes(pieces, metadata))
    with pytest.raises(TridentError, match="window"):
        check_window(image, 1 << 62)


def test_older_images_tell_no_window_and_get_that_of_zstd(tmp_path: Path) -> None:
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces) | {"version": "1.1"}
    del metadata["compression"], metadata["disk"]
    image = opened(tmp_path, images.cosi_bytes(pieces, metadata))
    assert check_window(image, 0) == 1 << 27
    assert read_image(image, root_of(image)) == pieces[2].raw


def test_a_file_that_ends_while_it_is_read_stops_the_stream(tmp_path: Path) -> None:
    pieces = images.sample_pieces(root_bytes=5_000_000)
    image = opened(tmp_path, images.cosi_bytes(pieces))
    with (tmp_path / "image.cosi").open("r+b") as file:
        file.truncate(image.member("images/root.rawzst").offset + 1000)
    with pytest.raises(TridentError, match="it ends at byte"):
        check_image(image, root_of(image))


def test_a_target_that_is_full_is_told_so(tmp_path: Path) -> None:
    image = opened(tmp_path, images.cosi_bytes())
    with pytest.raises(TridentError, match="No space left") as caught:
        write_image(image, root_of(image), Path("/dev/full"), progress=no_progress)
    assert caught.value.identifier == "servicing/deploy-images"


def test_a_target_that_does_not_exist_is_told_so(tmp_path: Path) -> None:
    image = opened(tmp_path, images.cosi_bytes())
    nowhere = tmp_path / "no" / "x"
    with pytest.raises(TridentError, match="No such file"):
        write_image(image, root_of(image), tmp_path / "sda9", progress=no_progress)
    assert not (tmp_path / "sda9").exists()
    with pytest.raises(TridentError, match="could not be opened") as caught:
        write_image(image, root_of(image), nowhere, progress=no_progress)
    assert caught.value.identifier == "servicing/deploy-images"
    with pytest.raises(TridentError, match="could not be opened"):
        extract_image(image, root_of(image), nowhere)
