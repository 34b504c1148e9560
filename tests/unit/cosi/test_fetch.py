"""A file gets its name only when its hash was proven."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.cosi import fetch
from agent.cosi.source import open_source

DATA = bytes(range(256)) * 9000
SHA384 = hashlib.sha384(DATA).hexdigest()


def test_a_file_with_the_right_hash_arrives_whole(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DATA)
    seen: list[tuple[int, int]] = []
    with open_source(f"file://{tmp_path}/source") as source:
        fetch.fetch(
            source, tmp_path / "target", SHA384, lambda done, all_: seen.append((done, all_))
        )
    assert (tmp_path / "target").read_bytes() == DATA
    assert fetch.digest(tmp_path / "target") == SHA384
    assert seen[-1] == (len(DATA), len(DATA))
    assert len(seen) == 3


def test_another_file_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DATA + b"!")
    (tmp_path / "target").write_bytes(b"before")
    with open_source(f"file://{tmp_path}/source") as source, pytest.raises(TridentError) as caught:
        fetch.fetch(source, tmp_path / "target", SHA384, lambda _done, _all: None)
    assert SHA384 in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
    assert (tmp_path / "target").read_bytes() == b"before"
