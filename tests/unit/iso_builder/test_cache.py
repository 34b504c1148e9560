"""The build cache: keys, fingerprints, complete directories only."""

from __future__ import annotations

from pathlib import Path

import pytest

from iso_builder import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trident-appliance"


def test_a_key_depends_on_every_input_and_on_no_order() -> None:
    first = cache.key({"a": 1, "b": [1, 2]})
    assert first == cache.key({"b": [1, 2], "a": 1})
    assert first != cache.key({"a": 1, "b": [2, 1]})
    assert first != cache.key({"a": 2, "b": [1, 2]})


def test_a_fingerprint_sees_names_contents_and_executable_bits(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    file = folder / "sub" / "a.py"
    file.write_text("one")
    seen = {cache.fingerprint([folder])}
    file.write_text("two")
    seen.add(cache.fingerprint([folder]))
    file.chmod(0o755)
    seen.add(cache.fingerprint([folder]))
    file.rename(folder / "sub" / "b.py")
    seen.add(cache.fingerprint([folder]))
    assert len(seen) == 4


def test_a_fingerprint_ignores_byte_code(tmp_path: Path) -> None:
    (tmp_path / "p" / "__pycache__").mkdir(parents=True)
    (tmp_path / "p" / "a.py").write_text("one")
    before = cache.fingerprint([tmp_path / "p"])
    (tmp_path / "p" / "__pycache__" / "a.pyc").write_text("code")
    assert cache.fingerprint([tmp_path / "p"]) == before


def test_what_was_built_once_is_not_built_again(own_cache: Path) -> None:
    calls = []

    def build(made: Path) -> None:
        calls.append(made)
        (made / "file").write_text("content")

    first = cache.obtain("kind", "name", build)
    assert cache.obtain("kind", "name", build) == first == own_cache / "kind" / "name"
    assert (first / "file").read_text() == "content"
    assert len(calls) == 1


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(own_cache: Path) -> None:
    def fail(made: Path) -> None:
        (made / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.obtain("kind", "name", fail)
    assert not [path for path in (own_cache / "kind").iterdir() if path.is_dir()]
    assert cache.obtain("kind", "name", lambda made: None).is_dir()
