"""What differs between two media, two image sets, two locks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.medium import layout
from iso_builder import manifest, netboot_set
from iso_builder.cli import main
from iso_builder.contrast import contrast
from iso_builder.cosi.compare import Change
from iso_builder.debian import Pin
from iso_builder.kernel import Identity
from iso_builder.lock import Lock, Tree
from iso_builder.manifest import Package
from iso_builder.medium import customize
from iso_builder.medium.embed import Configuration
from tests.kit.medium import configuration, medium

DIGEST = "0" * 96


def image_set(folder: Path, kernel: bytes = b"kernel", udev: str = "252.39-1") -> Path:
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(kernel)
    packages = [Package(name="udev", version=udev, architecture="amd64")]
    manifest.write(folder, manifest.describe(folder, Identity("6.1.0-1-amd64", "6.1-1"), packages))
    netboot_set.seal(folder, None)
    return folder


@pytest.fixture(name="iso")
def sample_medium(tmp_path: Path) -> Path:
    folder = image_set(tmp_path / "live")
    image = medium(folder, os_cosi=DIGEST)
    return image.rename(tmp_path / "medium.iso")


def lock_file(path: Path, version: str, sha256: str = "a" * 64) -> Path:
    pins = (Pin("udev", version, "amd64", sha256),)
    tree = Tree(suite="bookworm", variant="essential", requested=("udev",), packages=pins)
    path.write_text(Lock(requirements="0" * 96, trees=(tree,)).model_dump_json())
    return path


def test_a_medium_is_equal_to_its_copy(
    iso: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.iso"
    copy.write_bytes(iso.read_bytes())
    assert main(["diff", str(iso), str(copy)]) == 0
    assert capsys.readouterr().out == "equal\n"


def test_what_was_customised_is_told_by_argument_and_line(
    iso: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.iso", tmp_path / "second.iso"
    for target, size, word in ((first, "1G", "a=1"), (second, "2G", "a=2")):
        path = configuration(tmp_path, root_size=size)
        customize.customize(
            iso, customize.Order((Configuration(None, path),), (word, "quiet")), target
        )
    found = contrast(first, second)
    assert found.arguments == (Change("a", "1", "2"),)
    assert (found.properties, found.packages) == ((), ())
    assert {change.name for change in found.files} == set(layout.MUTABLE)
    (text,) = found.configurations
    assert text.name == layout.CONFIGURATION
    changed = [line for line in text.lines[2:] if line[0] in "+-"]
    assert [line.replace(" ", "") for line in changed] == ["-size:1G", "+size:2G"]
    assert main(["diff", str(first), str(second)]) == 2
    assert "kernel arguments:\n  a: 1 -> 2\n" in capsys.readouterr().out


def test_image_sets_are_compared_by_packages_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = image_set(tmp_path / "first")
    second = image_set(tmp_path / "second", b"other", "252.40-1")
    assert main(["diff", str(first), str(second), "--format", "json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] is False
    assert found["packages"] == [{"name": "udev.amd64", "before": "252.39-1", "after": "252.40-1"}]
    assert [change["name"] for change in found["files"]] == ["manifest.json", "vmlinuz"]


def test_locks_are_compared_by_version_and_digest(tmp_path: Path) -> None:
    first = lock_file(tmp_path / "1", "252.39-1")
    second = lock_file(tmp_path / "2", "252.39-1", "b" * 64)
    (change,) = contrast(first, second).packages
    assert change == Change(
        "bookworm/udev.amd64",
        f"252.39-1 sha256:{'a' * 16}",
        f"252.39-1 sha256:{'b' * 16}",
    )
    assert contrast(first, first).is_equal


def test_what_has_little_in_common_is_refused(
    iso: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "text"
    other.write_text("no lock\n")
    for second in (tmp_path / "live", other):
        assert main(["diff", str(iso), str(second)]) == 1
        assert "invalid-input/not-comparable" in capsys.readouterr().err
    assert main(["diff", str(iso), str(tmp_path / "none")]) == 1
    assert "invalid-input/read-input-file" in capsys.readouterr().err
