"""A raw disk written without mounting, read back with the tools of other people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux.run import run
from iso_builder import rawimage
from iso_builder.rawimage import MIB, Geometry, Identifiers

pytestmark = pytest.mark.tools

IDENTIFIERS = Identifiers.derive("tools-test")
GEOMETRY = Geometry(esp_bytes=40 * MIB, root_bytes=24 * MIB)


@pytest.fixture(name="disk")
def made_disk(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "hostname").write_text("sample\n")
    (tree / "etc" / "hostname").chmod(0o640)
    (tree / "link").symlink_to("etc/hostname")
    loader = tmp_path / "loader.efi"
    loader.write_bytes(b"loader" * 1000)
    disk = tmp_path / "disk.raw"
    rawimage.write(disk, GEOMETRY, IDENTIFIERS, tree, {"EFI/BOOT/bootx64.efi": loader})
    return disk


def test_the_partition_table_is_whole_and_bears_the_given_identifiers(disk: Path) -> None:
    assert "No problems found" in run(["sgdisk", "--verify", disk]).stdout
    table = json.loads(run(["sfdisk", "--json", disk]).stdout)["partitiontable"]
    assert table["id"].lower() == str(IDENTIFIERS.disk)
    assert [row["uuid"].lower() for row in table["partitions"]] == [
        str(IDENTIFIERS.esp_partition),
        str(IDENTIFIERS.root_partition),
    ]


def test_both_file_systems_are_clean_and_hold_what_was_given(disk: Path, tmp_path: Path) -> None:
    esp, root = tmp_path / "esp.img", tmp_path / "root.img"
    with disk.open("rb") as stream:
        stream.seek(MIB)
        esp.write_bytes(stream.read(GEOMETRY.esp_bytes))
        root.write_bytes(stream.read(GEOMETRY.root_bytes))
    run(["fsck.vfat", "-n", esp])
    copied = run(["mcopy", "-i", esp, "::EFI/BOOT/bootx64.efi", "-"]).stdout_bytes
    assert copied == b"loader" * 1000
    run(["e2fsck", "-f", "-n", root])
    assert run(["debugfs", "-R", "cat /etc/hostname", root]).stdout == "sample\n"
    assert "0640" in run(["debugfs", "-R", "stat /etc/hostname", root]).stdout


def test_file_systems_have_the_uuids_that_the_image_is_called_by(disk: Path) -> None:
    def probe(offset: int) -> dict[str, str]:
        shown = run(["blkid", "--probe", "--output", "export", "--offset", str(offset), disk])
        return dict(line.split("=", 1) for line in shown.stdout.splitlines())

    assert probe(MIB)["UUID"] == IDENTIFIERS.esp_filesystem
    root = probe(GEOMETRY.root_start)
    assert root["TYPE"] == "ext4"
    assert root["UUID"] == str(IDENTIFIERS.root_filesystem)


def test_the_root_has_no_feature_that_the_boot_loader_cannot_read(
    disk: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root.img"
    with disk.open("rb") as stream:
        stream.seek(GEOMETRY.root_start)
        root.write_bytes(stream.read(GEOMETRY.root_bytes))
    features = run(["dumpe2fs", "-h", root]).stdout
    assert "metadata_csum_seed" not in features
    assert "orphan_file" not in features


def test_a_tree_that_does_not_fit_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "big").write_bytes(b"x" * (30 * MIB))
    with pytest.raises(TridentError) as caught:
        rawimage.write(tmp_path / "disk.raw", GEOMETRY, IDENTIFIERS, tree, {})
    assert "while writing the root file system" in caught.value.render()
