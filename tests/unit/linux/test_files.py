"""Writing files that survive a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.linux import files


def test_a_write_replaces_the_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "fstab"
    target.write_text("old")
    files.write(target, "new", mode=0o640)
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_a_copy_that_fails_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "bootx64.efi"
    target.write_text("old")
    with pytest.raises(IsADirectoryError):
        files.copy(tmp_path, target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_copy_has_the_content_of_its_source(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(bytes(range(256)) * 8192)
    files.copy(source, tmp_path / "b", mode=0o600)
    assert (tmp_path / "b").read_bytes() == source.read_bytes()


def test_paths_of_the_target_stay_below_its_root() -> None:
    assert files.inside(Path("/mnt/newroot"), "/etc/fstab") == Path("/mnt/newroot/etc/fstab")
    assert files.inside(Path("/mnt/newroot"), Path("/")) == Path("/mnt/newroot")


def test_a_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    leftover = tmp_path / "secret.new"
    leftover.write_text("of a crash")
    leftover.chmod(0o666)
    with files.replacing(tmp_path / "secret", mode=0o600) as stream:
        stream.write(b"x")
        stream.flush()
        assert leftover.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secret").read_text() == "x"
    assert not leftover.exists()


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "file") as stream:
        stream.write(b"new %d" % (1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"
