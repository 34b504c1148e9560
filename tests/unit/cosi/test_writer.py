from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
import zstandard

from agent.api.errors import TridentError
from agent.cosi import writer
from agent.cosi.writer import Region
from tests.unit.cosi import images


def test_a_region_of_a_file_is_compressed_with_the_promised_window(tmp_path: Path) -> None:
    data = images.noise(9_000_000)
    (tmp_path / "disk").write_bytes(b"before" + data + b"after")
    seen: list[tuple[int, int]] = []
    packed = writer.compress(
        Region(tmp_path / "disk", 6, len(data)),
        tmp_path / "packed",
        progress=lambda done, total: seen.append((done, total)),
    )
    content = (tmp_path / "packed").read_bytes()
    assert zstandard.decompress(content) == data
    assert packed.compressed_size == len(content)
    assert packed.uncompressed_size == len(data)
    assert packed.sha384 == hashlib.sha384(content).hexdigest()
    parameters = zstandard.get_frame_parameters(content)
    assert parameters.window_size <= 1 << writer.WINDOW_LOG
    assert parameters.has_checksum
    assert seen[-1] == (len(data), len(data))


def test_the_number_of_threads_does_not_change_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(images.noise(9_000_000))
    region = Region(tmp_path / "disk", 0, 9_000_000)
    one, two = tmp_path / "one", tmp_path / "two"
    writer.compress(region, one, threads=1)
    writer.compress(region, two, threads=2)
    assert one.read_bytes() == two.read_bytes()


def test_a_region_beyond_the_end_of_its_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"short")
    with pytest.raises(TridentError, match="ends 95 bytes too early"):
        writer.compress(Region(tmp_path / "disk", 0, 100), tmp_path / "packed")


def test_an_archive_is_read_by_any_tar(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 513)
    writer.assemble(tmp_path / "image.cosi", b"{}", [("images/a", tmp_path / "a")])
    with tarfile.open(tmp_path / "image.cosi") as archive:
        assert archive.getnames() == ["cosi-marker", "metadata.json", "images/a"]
        member = archive.extractfile("images/a")
        assert member is not None
        assert member.read() == b"x" * 513
    assert (tmp_path / "image.cosi").stat().st_size % 512 == 0


def test_an_archive_that_fails_leaves_nothing_and_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "image.cosi").write_bytes(b"the old one")
    with pytest.raises(FileNotFoundError):
        writer.assemble(tmp_path / "image.cosi", b"{}", [("images/a", tmp_path / "missing")])
    assert [path.name for path in tmp_path.iterdir()] == ["image.cosi"]
    assert (tmp_path / "image.cosi").read_bytes() == b"the old one"
