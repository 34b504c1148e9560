"""Files come back byte for byte, and those that were not there go away."""

from __future__ import annotations

from pathlib import Path

from agent.linux import keepsake


def test_kept_files_come_back_with_bytes_and_mode(tmp_path: Path) -> None:
    kept, absent = tmp_path / "etc" / "a file.yaml", tmp_path / "etc" / "new"
    kept.parent.mkdir()
    kept.write_bytes(b"\x00old\xff")
    kept.chmod(0o640)
    keepsake.keep((kept, absent), tmp_path / "kept")
    kept.write_bytes(b"new")
    kept.chmod(0o600)
    absent.write_bytes(b"new")
    for _ in range(2):
        assert keepsake.put_back(tmp_path / "kept")
        assert kept.read_bytes() == b"\x00old\xff"
        assert kept.stat().st_mode & 0o777 == 0o640
        assert [path.name for path in kept.parent.iterdir()] == ["a file.yaml"]


def test_what_is_kept_is_not_replaced_by_a_second_call(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    keepsake.keep((file,), tmp_path / "kept")
    file.write_text("half done")
    keepsake.keep((file,), tmp_path / "kept")
    keepsake.put_back(tmp_path / "kept")
    assert file.read_text() == "before"


def test_an_unfinished_keepsake_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept.new").mkdir()
    (tmp_path / "kept.new" / "half.kept").write_text("half")
    assert not keepsake.put_back(tmp_path / "kept")
    keepsake.keep((), tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_forgotten_keepsake_puts_nothing_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    keepsake.keep((file,), tmp_path / "kept")
    keepsake.forget(tmp_path / "kept")
    file.write_text("after")
    assert not keepsake.put_back(tmp_path / "kept")
    assert file.read_text() == "after"
