"""Locks against the Debian archive: the same again, a version gone, a file that is another."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux.run import find
from iso_builder import debian, lock, packages
from iso_builder.debian import Pin
from iso_builder.lock import Lock, Origin, Tree
from tests.kit.tools import unavailable

pytestmark = pytest.mark.tools
RECIPE = packages.bios_loaders()
HOUR_S = 3600


@pytest.fixture(scope="module", name="locked")
def lock_of_a_small_tree(tmp_path_factory: pytest.TempPathFactory) -> Lock:
    if find("mmdebstrap") is None or os.geteuid() != 0:
        unavailable("trees of Debian packages are made by root with mmdebstrap")
    path = tmp_path_factory.mktemp("lock") / "lock.json"
    lock.write(path, [RECIPE])
    return lock.read(path)


def with_pins(locked: Lock, *pins: Pin) -> Origin:
    (tree,) = locked.trees
    changed: Tree = tree.model_copy(update={"packages": pins})
    return Origin(locked.model_copy(update={"trees": (changed,)}))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: Lock) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_locked_tree_has_the_packages_of_the_lock(locked: Lock) -> None:
    (tree,) = locked.trees
    assert {pin.name for pin in tree.packages} == {"isolinux", "syslinux-common"}
    assert debian.packages(Origin(locked).of(RECIPE)) == tree.packages


def test_a_version_that_the_archive_lacks_is_an_error_and_leaves_no_tree(
    locked: Lock, tmp_path: Path
) -> None:
    first, second = locked.trees[0].packages
    origin = with_pins(locked, replace(first, version="3:1.0-1"), second)
    with pytest.raises(TridentError, match=r"isolinux 3:1\.0-1 \(there is 3:6\.04") as caught:
        debian.packages(origin.of(RECIPE))
    assert caught.value.code == "package-gone"
    assert not list(tmp_path.rglob("tree.tar"))


def test_another_file_under_a_locked_version_is_an_error(locked: Lock) -> None:
    first, second = locked.trees[0].packages
    origin = with_pins(locked, first, replace(second, sha256="0" * 64))
    with pytest.raises(TridentError, match="syslinux-common 3:") as caught:
        debian.packages(origin.of(RECIPE))
    assert caught.value.code == "package-altered"


def test_a_settled_tree_does_not_tell_when_it_was_made() -> None:
    with debian.unpacked(RECIPE) as tree:
        paths = (tree, *tree.rglob("*"))
        before = max(path.lstat().st_mtime for path in paths)
        debian.settle(tree, RECIPE)
        after = max(path.lstat().st_mtime for path in paths)
    assert before > time.time() - HOUR_S
    assert after < time.time() - HOUR_S
