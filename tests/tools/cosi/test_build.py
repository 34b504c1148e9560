"""`trident-iso cosi build` on real disks, judged by the specification's own schema."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.api.errors import TridentError
from agent.cosi.reader import image_files, open_image
from agent.cosi.source import open_source
from agent.linux.run import run
from iso_builder.cosi.build import Options, Packing, build
from iso_builder.cosi.verify import verify
from tests.tools.cosi import disks

CONFORMANCE = Path(__file__).parents[2] / "data" / "conformance" / "cosi-metadata"
SCHEMA = CONFORMANCE / "cosi-metadata-v1.2.schema.json"
pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with disk.raw (systemd-boot) and image.cosi made of it."""
    workspace = tmp_path_factory.mktemp("cosi")
    disk = disks.raw_disk(workspace)
    build(disk, workspace / "image.cosi", Options(packing=Packing(3)))
    return workspace


def metadata_of(cosi: Path) -> dict[str, Any]:
    with tarfile.open(cosi) as archive:
        member = archive.extractfile("metadata.json")
        assert member is not None
        document: dict[str, Any] = json.load(member)
    return document


def test_the_archive_is_laid_out_as_the_specification_says(built: Path) -> None:
    data = (built / "image.cosi").read_bytes()
    assert data[:11] == b"cosi-marker"
    assert data.endswith(bytes(1024))
    with tarfile.open(built / "image.cosi") as archive:
        assert archive.getnames() == [
            "cosi-marker",
            "metadata.json",
            "images/primary-gpt.raw.zst",
            "images/partition-1.raw.zst",
            "images/partition-3.raw.zst",
            "images/partition-2.raw.zst",
        ]


def test_the_metadata_follows_the_schema(built: Path) -> None:
    jsonschema.validate(metadata_of(built / "image.cosi"), json.loads(SCHEMA.read_text()))


def test_the_metadata_tells_what_is_in_the_image(built: Path) -> None:
    metadata = metadata_of(built / "image.cosi")
    assert metadata["osRelease"] == disks.OS_RELEASE
    assert metadata["osArch"] == "x86_64"
    assert metadata["osPackages"] == [
        {"name": "base-files", "version": "12.4+deb12u5", "release": "0", "arch": "x86_64"},
        {"name": "bash", "version": "5.2.15", "release": "2+b7", "arch": "x86_64"},
        {"name": "tzdata", "version": "2024a", "release": "0+deb12u1", "arch": "noarch"},
    ]
    assert [(fs["mountPoint"], fs["fsType"], fs["fsUuid"]) for fs in metadata["images"]] == [
        ("/efi", "vfat", disks.ESP_ID),
        ("/", "ext4", disks.ROOT_UUID),
    ]
    assert metadata["bootloader"]["systemdBoot"]["entries"] == [
        {
            "type": "uki-standalone",
            "path": "/efi/EFI/Linux/Debian 12.efi",
            "cmdline": "root=UUID=x ro quiet",
            "kernel": "6.1.0-18-amd64",
        }
    ]
    assert metadata["disk"]["size"] == disks.DISK_BYTES
    assert [region.get("number") for region in metadata["disk"]["gptRegions"]] == [None, 1, 3, 2]


def test_what_was_built_verifies_and_carries_the_disk(built: Path) -> None:
    with open_source((built / "image.cosi").as_uri()) as source:
        image = open_image(source, None)
        assert verify(source, None).findings == ()
        files = {file.path: file for file in image_files(image.metadata)}
        assert files["images/partition-1.raw.zst"].uncompressed_size == 36 * 2**20
        assert files["images/primary-gpt.raw.zst"].uncompressed_size == 34 * 512


def test_the_root_file_system_is_shrunk_sound_and_complete(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / "image.cosi") as archive:
        archive.extract("images/partition-2.raw.zst", tmp_path, filter="data")
    root = tmp_path / "root.img"
    run(["zstd", "-q", "-d", tmp_path / "images/partition-2.raw.zst", "-o", root])
    assert root.stat().st_size < 64 * 2**20
    run(["e2fsck", "-f", "-n", root])
    run(["debugfs", "-R", f"dump /home/data {tmp_path}/data", root])
    wanted = bytes(range(256)) * 4096 * 8
    assert hashlib.sha256((tmp_path / "data").read_bytes()).digest() == (
        hashlib.sha256(wanted).digest()
    )


def test_the_disk_itself_is_left_alone_and_nothing_else_remains(tmp_path: Path) -> None:
    disk = disks.raw_disk(tmp_path, grub=True)
    before = hashlib.sha256(disk.read_bytes()).digest()
    (tmp_path / "out").mkdir()
    digest = build(disk, tmp_path / "out" / "image.cosi", Options(packing=Packing(1)))
    assert hashlib.sha256(disk.read_bytes()).digest() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image.cosi"]
    metadata = metadata_of(tmp_path / "out" / "image.cosi")
    assert metadata["bootloader"] == {"type": "grub"}
    with open_source((tmp_path / "out" / "image.cosi").as_uri()) as source:
        assert open_image(source, digest).metadata_sha384 == digest


def test_the_same_disk_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    build(built / "disk.raw", tmp_path / "again.cosi", Options(packing=Packing(3)))
    assert (tmp_path / "again.cosi").read_bytes() == (built / "image.cosi").read_bytes()


def test_large_sectors_are_understood(tmp_path: Path) -> None:
    disk = disks.raw_disk(tmp_path, grub=True, sector=4096)
    build(disk, tmp_path / "image.cosi", Options(packing=Packing(1)))
    assert metadata_of(tmp_path / "image.cosi")["disk"]["lbaSize"] == 4096


def test_a_disk_without_an_os_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.touch()
    run(["truncate", "-s", "64M", disk])
    run(["sfdisk", "--quiet", disk], stdin=b"label: gpt\nsize=32M, type=uefi\n")
    with pytest.raises(TridentError) as caught:
        build(disk, tmp_path / "out" / "image.cosi", Options())
    assert caught.value.code == "image-not-understood"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_is_no_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"nothing" * 10_000)
    with pytest.raises(TridentError, match="no GUID partition table"):
        build(tmp_path / "disk.raw", tmp_path / "image.cosi", Options())
    with pytest.raises(TridentError, match="cannot be read"):
        build(tmp_path / "missing.raw", tmp_path / "image.cosi", Options())
