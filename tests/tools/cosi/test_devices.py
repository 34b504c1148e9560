"""Writing images to block devices: loop devices, full ones, ones in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.cosi.metadata import ImageFile
from agent.cosi.reader import CosiImage, open_image
from agent.cosi.source import open_source
from agent.cosi.stream import write_image
from agent.linux import loop
from agent.linux.run import run
from tests.unit.cosi import images

pytestmark = pytest.mark.tools
ROOT_BYTES = 5_000_001
DEVICE_BYTES = 8 * 2**20


def no_progress(done: int, total: int) -> None:
    return None


@pytest.fixture
def image(tmp_path: Path) -> CosiImage:
    file = tmp_path / "image.cosi"
    file.write_bytes(images.cosi_bytes(images.sample_pieces(root_bytes=ROOT_BYTES)))
    return open_image(open_source(file.as_uri()), None)


@contextmanager
def device(folder: Path, size: int = DEVICE_BYTES, *, filled: bool = True) -> Iterator[Path]:
    """A loop device; `filled` with 0xAA, else with holes."""
    backing = folder / "device"
    with backing.open("wb") as out:
        out.write(b"\xaa" * size if filled else b"")
        out.truncate(size)
    with loop.attached(backing) as node:
        yield node


def root_of(image: CosiImage) -> ImageFile:
    return image.metadata.images[1].image


def test_a_device_gets_the_image_and_nothing_behind_it_changes(
    image: CosiImage, tmp_path: Path
) -> None:
    with device(tmp_path) as node:
        report = write_image(
            image,
            root_of(image),
            node,
            progress=no_progress,
            expected_capacity_bytes=DEVICE_BYTES,
        )
        content = node.read_bytes()
    assert content[:ROOT_BYTES] == images.sample_pieces(root_bytes=ROOT_BYTES)[2].raw
    assert content[ROOT_BYTES:] == b"\xaa" * (DEVICE_BYTES - ROOT_BYTES)
    assert report.direct


def test_a_device_with_large_sectors_gets_the_image(image: CosiImage, tmp_path: Path) -> None:
    backing = tmp_path / "device"
    backing.write_bytes(b"\xaa" * DEVICE_BYTES)
    attach = ["losetup", "--find", "--show", "--sector-size", "4096", str(backing)]
    node = Path(run(attach).stdout.strip())
    try:
        write_image(image, root_of(image), node, progress=no_progress)
        content = node.read_bytes()
    finally:
        run(["losetup", "--detach", node])
    assert content[:ROOT_BYTES] == images.sample_pieces(root_bytes=ROOT_BYTES)[2].raw
    assert content[ROOT_BYTES:] == b"\xaa" * (DEVICE_BYTES - ROOT_BYTES)


def test_a_device_too_small_is_refused_unwritten(image: CosiImage, tmp_path: Path) -> None:
    """F15."""
    with device(tmp_path, 4 * 2**20) as node:
        with pytest.raises(TridentError) as caught:
            write_image(image, root_of(image), node, progress=no_progress)
        assert node.read_bytes() == b"\xaa" * (4 * 2**20)
    assert caught.value.identifier == "invalid-input/filesystem-size-exceeds-block-device"


def test_a_device_of_another_size_than_planned_is_refused(image: CosiImage, tmp_path: Path) -> None:
    with device(tmp_path) as node, pytest.raises(TridentError, match="not the planned device"):
        write_image(
            image, root_of(image), node, progress=no_progress, expected_capacity_bytes=2**23 + 1
        )


def test_a_device_in_use_is_refused(image: CosiImage, tmp_path: Path) -> None:
    """F18."""
    with device(tmp_path) as node:
        holder = os.open(node, os.O_RDONLY | os.O_EXCL)
        try:
            with pytest.raises(TridentError, match="busy") as caught:
                write_image(image, root_of(image), node, progress=no_progress)
        finally:
            os.close(holder)
    assert caught.value.identifier == "servicing/deploy-images"
    assert caught.value.hint is not None
    assert "mounted" in caught.value.hint


def test_a_device_that_fails_while_written_ends_the_stream(
    image: CosiImage, tmp_path: Path
) -> None:
    """Its backing file lies on a file system that is full after a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder])
    try:
        with device(folder, filled=False) as node, pytest.raises(TridentError) as caught:
            write_image(image, root_of(image), node, progress=no_progress)
    finally:
        run(["umount", folder])
    assert caught.value.identifier == "servicing/deploy-images"
    assert "could not be" in caught.value.message


def test_a_file_in_memory_is_written_even_where_direct_writes_are_refused(
    image: CosiImage, tmp_path: Path
) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder])
    try:
        (folder / "target").touch()
        write_image(image, root_of(image), folder / "target", progress=no_progress)
        content = (folder / "target").read_bytes()
    finally:
        run(["umount", folder])
    assert content == images.sample_pieces(root_bytes=ROOT_BYTES)[2].raw
