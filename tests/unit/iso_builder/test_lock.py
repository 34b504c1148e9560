"""Locks: which packages there may be, and what is said when there are others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from iso_builder import debian, lock, packages
from iso_builder.cli import main
from iso_builder.debian import Pin
from iso_builder.lock import Lock, Origin, Tree

UDEV = Pin("udev", "252.39-1~deb12u1", "amd64", "a" * 64)
LOADER = Pin("isolinux", "3:6.04+dfsg1-3", "all", "b" * 64)


def test_packages_are_read_from_the_digests_of_their_files() -> None:
    listing = (
        f"{'a' * 64}  ./udev_252.39-1~deb12u1_amd64.deb\n"
        f"{'b' * 64}  ./isolinux_3%3a6.04+dfsg1-3_all.deb\n"
        f"{'a' * 64}  ./udev_252.39-1~deb12u1_amd64.deb\n"
    )
    assert debian.unpacked_packages(listing) == (LOADER, UDEV)


def test_what_is_locked_and_nothing_else_is_taken() -> None:
    debian.require_pinned((UDEV, LOADER), (LOADER, UDEV))
    debian.require_pinned((), (UDEV,))


def refusal(pins: tuple[Pin, ...], found: tuple[Pin, ...]) -> TridentError:
    with pytest.raises(TridentError) as caught:
        debian.require_pinned(pins, found)
    return caught.value


def test_a_version_that_is_gone_is_named_with_the_one_there_is() -> None:
    error = refusal((UDEV, LOADER), (LOADER, replace(UDEV, version="252.40-1", sha256="c" * 64)))
    assert error.identifier == "execution-environment-misconfiguration/package-gone"
    assert "udev 252.39-1~deb12u1 (there is 252.40-1)" in error.message
    assert "--mirror" in (error.hint or "")
    assert "(there is none)" in refusal((UDEV, LOADER), (LOADER,)).message


def test_another_file_under_a_locked_version_is_something_else() -> None:
    error = refusal((UDEV, LOADER), (LOADER, replace(UDEV, sha256="c" * 64)))
    assert error.code == "package-altered"
    assert "udev 252.39-1~deb12u1" in error.message
    assert "isolinux" not in error.message


def test_a_package_that_the_lock_lacks_is_refused_too() -> None:
    error = refusal((UDEV,), (UDEV, LOADER))
    assert error.code == "package-gone"
    assert "isolinux 3:6.04+dfsg1-3 (not in the lock)" in error.message


def test_apt_is_told_the_only_version_of_each_package() -> None:
    assert debian.preferences((LOADER, UDEV)) == (
        "Package: isolinux\nPin: version 3:6.04+dfsg1-3\nPin-Priority: 1001\n"
        "\n"
        "Package: udev\nPin: version 252.39-1~deb12u1\nPin-Priority: 1001\n"
    )


def locked(*trees: Tree) -> Origin:
    return Origin(Lock(requirements="", trees=trees), ("deb http://example {suite} main",))


def tree_of(recipe: debian.Recipe) -> Tree:
    requested = tuple(sorted(set(recipe.packages)))
    return Tree(
        suite=recipe.suite, variant=str(recipe.variant), requested=requested, packages=(LOADER,)
    )


def test_a_recipe_gets_the_packages_of_its_own_tree() -> None:
    recipe = packages.bios_loaders()
    origin = locked(tree_of(packages.newer_loaders()), tree_of(recipe))
    assert origin.of(recipe).pins == (LOADER,)
    assert origin.of(recipe).mirrors == ("deb http://example {suite} main",)
    assert origin.fresh_s is None
    assert lock.USUAL.of(recipe) == recipe


def test_a_lock_for_other_options_is_refused() -> None:
    origin = locked(tree_of(packages.live((), ())))
    with pytest.raises(TridentError, match="no tree of bookworm") as caught:
        origin.of(packages.live((), ("htop",)))
    assert caught.value.identifier == "invalid-input/lock-mismatch"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "read-input-file"),
        ("{", "lock-mismatch"),
        ('{"version": 1, "requirements": "0", "trees": []}', "lock-mismatch"),
    ],
)
def test_a_file_that_is_no_lock_of_this_checkout_is_refused(
    tmp_path: Path, text: str | None, code: str
) -> None:
    path = tmp_path / "lock.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TridentError) as caught:
        lock.read(path)
    assert caught.value.code == code


def test_a_build_with_a_lock_that_does_not_fit_stops_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lock.json").write_text("{}")
    target = tmp_path / "medium.iso"
    words = ["build", "-o", str(target), "--unattended", "--lock", str(tmp_path / "lock.json")]
    assert main(words) == 1
    assert "invalid-input/lock-mismatch" in capsys.readouterr().err
    assert not target.exists()
