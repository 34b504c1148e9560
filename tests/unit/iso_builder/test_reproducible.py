"""What must not differ between two builds: times, modes, what the cache holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.trust import keys
from iso_builder import cache, epoch, payload, pins

BORN_S = 1_600_000_000


def test_times_since_a_moment_become_one_and_older_ones_stay(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder/new").write_text("new")
    (tree / "folder/link").symlink_to("nowhere")
    (tree / "old").write_text("old")
    os.utime(tree / "old", (BORN_S, BORN_S))
    epoch.settle(tree, since_s=BORN_S + 1)
    times = {path.name: path.lstat().st_mtime for path in (tree, *tree.rglob("*"))}
    assert times.pop("old") == BORN_S
    assert set(times.values()) == {epoch.USUAL_S}


def test_the_moment_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert epoch.seconds() == 1234
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert epoch.seconds() == epoch.USUAL_S


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "99999999999"])
def test_a_moment_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(TridentError, match="SOURCE_DATE_EPOCH") as caught:
        epoch.seconds()
    assert caught.value.identifier == "invalid-input/command-line"


def test_nothing_of_a_build_apart_is_found_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[str] = []

    def build(word: str) -> str:
        def write(folder: Path) -> None:
            made.append(word)
            (folder / "word").write_text(word)

        return (cache.obtain("kind", "key", write) / "word").read_text()

    assert build("kept") == "kept"
    with cache.apart():
        assert build("apart") == "apart"
    assert build("again") == "kept"
    assert made == ["kept", "apart"]
    left = [path.name for path in (tmp_path / "trident-appliance").iterdir()]
    assert left == ["kind"]


def test_the_modes_of_our_programs_do_not_depend_on_who_checked_them_out(tmp_path: Path) -> None:
    source = tmp_path / "package"
    (source / "__pycache__").mkdir(parents=True)
    (source / "files").mkdir(mode=0o700)
    for name, mode in (("a.py", 0o600), ("files/b.sh", 0o775)):
        (source / name).write_text("x")
        (source / name).chmod(mode)
    payload.copy_package(source, tmp_path / "copy")
    modes = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777
        for path in (tmp_path / "copy", *(tmp_path / "copy").rglob("*"))
    }
    assert modes == {
        "copy": 0o755,
        "copy/a.py": 0o644,
        "copy/files": 0o755,
        "copy/files/b.sh": 0o644,
    }


def test_pins_are_archives_that_can_stand_behind_others() -> None:
    key = keys.generate().public
    for pin, content in (
        (pins.root_file_system("ab" * 48), b"ab" * 48 + b"\n"),
        (pins.trusted_key(key), key.pem()),
    ):
        assert len(pin) % 512 == 0
        assert pin.startswith(b"070701")
        assert content in pin
