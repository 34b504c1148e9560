"""Extension images on a root: whatever is there, a reconcile ends with what is wanted."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import pytest

from agent.api.errors import TridentError
from agent.api.extensions import ExtensionKind
from agent.subsystems.extensions import store
from agent.subsystems.extensions.store import Placed

ONE, TWO, THREE = b"one", b"two", b"three"


def sha384(data: bytes) -> str:
    return hashlib.sha384(data).hexdigest()


def placed(name: str, data: bytes) -> Placed:
    return Placed(ExtensionKind.SYSEXT, sha384(data), PurePosixPath(f"/var/lib/extensions/{name}"))


def stage(root: Path, *contents: bytes) -> None:
    for data in contents:
        path = store.staged(root, sha384(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def there(root: Path) -> dict[str, bytes]:
    folder = root / "var/lib/extensions"
    return {path.name: path.read_bytes() for path in folder.glob("*.raw")}


def test_images_are_placed_replaced_and_removed(tmp_path: Path) -> None:
    stage(tmp_path, ONE, TWO)
    before = [placed("a.raw", ONE), placed("b.raw", TWO)]
    store.reconcile(before, (), tmp_path)
    assert there(tmp_path) == {"a.raw": ONE, "b.raw": TWO}
    store.clear(tmp_path)
    stage(tmp_path, THREE)
    after = [placed("a.raw", THREE)]
    store.reconcile(after, [*before, *after], tmp_path)
    assert there(tmp_path) == {"a.raw": THREE}
    store.reconcile(before, [*before, *after], tmp_path)
    assert there(tmp_path) == {"a.raw": ONE, "b.raw": TWO}, "what was replaced can come back"


@pytest.mark.parametrize("done", [0, 1, 2])
def test_half_of_a_change_is_finished_or_taken_back(tmp_path: Path, done: int) -> None:
    stage(tmp_path, ONE, TWO)
    before = [placed("a.raw", ONE), placed("b.raw", TWO)]
    store.reconcile(before, (), tmp_path)
    after = [placed("a.raw", TWO), placed("b.raw", ONE)]
    store.reconcile([*after[:done], *before[done:]], before, tmp_path)
    for wanted in (after, before, after):
        store.reconcile(wanted, [*before, *after], tmp_path)
        assert there(tmp_path) == {
            one.path.name: ONE if one.sha384 == sha384(ONE) else TWO for one in wanted
        }


def test_one_image_may_be_at_two_places(tmp_path: Path) -> None:
    stage(tmp_path, ONE)
    store.reconcile([placed("a.raw", ONE), placed("b.raw", ONE)], (), tmp_path)
    assert there(tmp_path) == {"a.raw": ONE, "b.raw": ONE}


def test_an_image_that_is_not_staged_is_named(tmp_path: Path) -> None:
    stage(tmp_path, ONE)
    store.staged(tmp_path, sha384(ONE)).write_bytes(b"spoilt")
    with pytest.raises(TridentError) as caught:
        store.reconcile([placed("a.raw", ONE)], (), tmp_path)
    assert caught.value.identifier == "servicing/find-staged-file"
    assert there(tmp_path) == {}


def test_clearing_keeps_what_is_still_wanted(tmp_path: Path) -> None:
    stage(tmp_path, ONE, TWO)
    store.clear(tmp_path, [sha384(ONE)])
    assert [path.read_bytes() for path in store.staged(tmp_path, "").parent.iterdir()] == [ONE]
    store.clear(tmp_path)
    assert not store.staged(tmp_path, "").parent.exists()
