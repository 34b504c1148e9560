"""The servicing image set: what is refused, and that a new set is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from bootserver.boot import artifacts
from tests.kit.bootserver import make_artifacts


def change(folder: Path, **values: Any) -> None:
    """Replace the manifest by one with other values."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | values
    new = folder / "new"
    new.write_text(json.dumps(manifest))
    os.replace(new, path)


def reason(folder: Path) -> str:
    with pytest.raises(TridentError) as caught:
        artifacts.load(folder)
    return caught.value.message


def test_a_set_is_read(tmp_path: Path) -> None:
    found = artifacts.load(make_artifacts(tmp_path))
    assert found.architecture == "x86_64"
    assert "x86_64/snponly.efi" in found.present
    assert "arm64/snponly.efi" not in found.present
    assert len(found.rootfs_sha384) == 96


def test_an_absent_loader_is_only_not_present(tmp_path: Path) -> None:
    (make_artifacts(tmp_path) / "bios" / "undionly.kpxe").unlink()
    assert "bios/undionly.kpxe" not in artifacts.load(tmp_path).present


def test_a_set_without_kernel_is_refused(tmp_path: Path) -> None:
    (make_artifacts(tmp_path) / "vmlinuz").unlink()
    assert "vmlinuz is missing" in reason(tmp_path)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    (make_artifacts(tmp_path) / "rootfs.squashfs").write_bytes(b"x")
    assert "rootfs.squashfs has 1 bytes, not 500000" in reason(tmp_path)


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    make_artifacts(tmp_path)
    change(tmp_path, version=2)
    assert "version is 2" in reason(tmp_path)
    change(tmp_path, version=1, files={})
    assert "does not name vmlinuz, initrd.img, rootfs.squashfs" in reason(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    assert "manifest.json" in reason(tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert "cannot read" in reason(tmp_path)


def test_a_new_set_is_noticed(tmp_path: Path) -> None:
    current = artifacts.watch(make_artifacts(tmp_path))
    first = current()
    assert current() is first
    change(tmp_path, architecture="arm64")
    assert current().architecture == "arm64"
