"""The manifest of a servicing image set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from iso_builder import manifest
from iso_builder.kernel import Identity
from iso_builder.manifest import Package

STATUS = """Package: zstd
Status: install ok installed
Architecture: amd64
Version: 1.5.4+dfsg2-5
Description: fast compression
 Version: of a description is not a field

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.134
"""


def test_only_installed_packages_are_listed() -> None:
    assert manifest.installed_packages(STATUS) == [
        Package(name="zstd", version="1.5.4+dfsg2-5", architecture="amd64"),
        Package(name="adduser", version="3.134", architecture="all"),
    ]


def test_the_manifest_names_every_file_with_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "x86_64").mkdir()
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    (tmp_path / "x86_64" / "ipxe.efi").write_bytes(b"loader")
    (tmp_path / "manifest.json").write_text("an older one")
    made = manifest.describe(
        tmp_path, Identity("6.1.0-1-amd64", "6.1.5-1"), manifest.installed_packages(STATUS)
    )
    manifest.write(tmp_path, made)
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["version"] == 1
    assert written["architecture"] == "x86_64"
    assert written["kernel"] == {
        "release": "6.1.0-1-amd64",
        "package": "linux-image-6.1.0-1-amd64",
    }
    assert written["files"] == {
        "vmlinuz": {"size": 6, "sha384": hashlib.sha384(b"kernel").hexdigest()},
        "x86_64/ipxe.efi": {"size": 6, "sha384": hashlib.sha384(b"loader").hexdigest()},
    }
    names = [package["name"] for package in written["packages"]]
    assert names == ["adduser", "linux-image-6.1.0-1-amd64", "zstd"]
