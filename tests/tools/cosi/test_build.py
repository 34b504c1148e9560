"""`trident-iso cosi build` on real disks, judged by the specification's own schema."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import zstandard

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture
from agent.cosi.reader import image_files, open_image
from agent.cosi.source import open_source
from agent.cosi.stream import extract_image
from agent.linux.run import run
from iso_builder import osimage
from iso_builder.cli import main
from iso_builder.cosi.build import Options, Packing, build
from iso_builder.cosi.verify import verify
from tests.kit.tools import unavailable
from tests.tools.cosi import disks, filesystems
from tests.tools.cosi.disks import Part
from tests.unit.cosi import rpm
from tests.unit.cosi.images import uki_bytes

CONFORMANCE = Path(__file__).parents[2] / "data" / "conformance" / "cosi-metadata"
SCHEMA = CONFORMANCE / "cosi-metadata-v1.2.schema.json"
pytestmark = pytest.mark.tools
QUICK = Options(packing=Packing(1))


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
    digest = build(disk, tmp_path / "out" / "image.cosi", QUICK)
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
    build(disk, tmp_path / "image.cosi", QUICK)
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


def esp_of(folder: Path, files: Mapping[str, bytes]) -> Part:
    return Part(filesystems.fat(folder / "esp", files, volume_id=disks.ESP_ID), disks.ESP)


def made(folder: Path, *parts: Part, options: Options = QUICK) -> dict[str, Any]:
    """The metadata of a COSI file built of a disk of these partitions."""
    build(disks.gpt_disk(folder / "disk.raw", parts), folder / "image.cosi", options)
    return metadata_of(folder / "image.cosi")


UKI = {"EFI/Linux/a.efi": uki_bytes("ro", "6.1")}
ROOT_FILES = {
    "etc/os-release": disks.OS_RELEASE.encode(),
    "var/lib/dpkg/status": disks.DPKG_STATUS.encode(),
}


@pytest.mark.parametrize(
    ("files", "point"),
    [
        ({"boot/efi/.keep": b"", "efi/.keep": b""}, "/boot/efi"),
        ({"efi/.keep": b"", "boot/vmlinuz": b""}, "/efi"),
        ({"boot/vmlinuz": b""}, "/boot/efi"),
        ({"etc/fstab": f"UUID={disks.ESP_ID} /boot vfat x 0 0\n".encode()}, "/boot"),
        ({"efi/.keep": b"", "etc/fstab": b"PARTLABEL=esp /esp vfat x 0 0\n"}, "/esp"),
    ],
)
def test_the_esp_is_where_the_image_mounts_it(
    files: Mapping[str, bytes], point: str, tmp_path: Path
) -> None:
    root = Part(filesystems.ext(tmp_path / "root", {**ROOT_FILES, **files}), disks.ROOT)
    esp = replace(esp_of(tmp_path, UKI), name="esp")
    metadata = made(tmp_path, esp, root)
    assert metadata["images"][0]["mountPoint"] == point
    (entry,) = metadata["bootloader"]["systemdBoot"]["entries"]
    assert entry["path"] == f"{point}/EFI/Linux/a.efi"


def test_an_esp_that_nothing_mentions_takes_an_empty_boot_folder(tmp_path: Path) -> None:
    image = filesystems.ext(tmp_path / "root", ROOT_FILES)
    run(["debugfs", "-w", "-R", "mkdir /boot", image])
    metadata = made(tmp_path, esp_of(tmp_path, UKI), Part(image, disks.ROOT))
    assert metadata["images"][0]["mountPoint"] == "/boot"


def test_an_extended_boot_partition_holds_entries_of_systemd_boot(tmp_path: Path) -> None:
    entry = b"title x\nlinux /vmlinuz-6.1.0-9-amd64\ninitrd /i\noptions root=PARTLABEL=root ro\n"
    boot = filesystems.fat(tmp_path / "boot", {"loader/entries/x.conf": entry})
    esp = esp_of(tmp_path, {"EFI/systemd/systemd-bootx64.efi": b"x"})
    root = filesystems.ext(tmp_path / "root", ROOT_FILES)
    metadata = made(tmp_path, esp, Part(boot, disks.XBOOTLDR), Part(root, disks.ROOT))
    assert metadata["bootloader"]["systemdBoot"]["entries"] == [
        {
            "type": "config",
            "path": "/boot/loader/entries/x.conf",
            "cmdline": "root=PARTLABEL=root ro",
            "kernel": "6.1.0-9-amd64",
        }
    ]


def test_entries_beside_a_grub_configuration_are_grubs(tmp_path: Path) -> None:
    files = {"loader/entries/x.conf": b"linux /vmlinuz\n", "grub2/grub.cfg": b"blscfg\n"}
    boot = filesystems.ext(tmp_path / "boot", files)
    root = filesystems.ext(tmp_path / "root", ROOT_FILES)
    parts = (Part(boot, disks.XBOOTLDR), Part(root, disks.ROOT))
    metadata = made(tmp_path, esp_of(tmp_path, {"EFI/x/grubx64.efi": b"x"}), *parts)
    assert metadata["bootloader"] == {"type": "grub"}


@pytest.mark.parametrize("folder", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_an_xfs_root_with_rpm_packages_is_told_and_kept_as_it_is(
    folder: str, tmp_path: Path
) -> None:
    database = tmp_path / "rpmdb.sqlite"
    headers = [rpm.package("bash", "5.2.15", "3.azl3", "x86_64")]
    rpm.database(database, headers).close()
    files = {
        "etc/os-release": b"ID=azurelinux\n",
        f"{folder}/rpmdb.sqlite": database.read_bytes(),
        "boot/grub2/grub.cfg": b"menuentry x {}\n",
    }
    root = filesystems.xfs(tmp_path / "root", files)
    metadata = made(tmp_path, esp_of(tmp_path, {}), Part(root, disks.LINUX))
    assert metadata["osPackages"] == [
        {"name": "bash", "version": "5.2.15", "release": "3.azl3", "arch": "x86_64"}
    ]
    assert (metadata["osArch"], metadata["images"][1]["fsType"]) == ("x86_64", "xfs")
    assert metadata["images"][1]["image"]["uncompressedSize"] == filesystems.XFS_BYTES
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


def test_an_old_rpm_database_is_refused_with_what_rebuilds_it(tmp_path: Path) -> None:
    files = {"etc/os-release": b"ID=x\n", "var/lib/rpm/Packages": b"x", "boot/grub/grub.cfg": b"x"}
    root = Part(filesystems.ext(tmp_path / "root", files), disks.ROOT)
    with pytest.raises(TridentError, match="old format") as caught:
        made(tmp_path, esp_of(tmp_path, {}), root)
    assert caught.value.hint is not None
    assert "rpmdb --rebuilddb" in caught.value.hint


def test_two_file_systems_of_one_uuid_are_refused(tmp_path: Path) -> None:
    root = filesystems.ext(tmp_path / "root", ROOT_FILES, uuid=disks.ROOT_UUID)
    home = filesystems.ext(tmp_path / "home", {"x": b""}, uuid=disks.ROOT_UUID)
    home_type = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
    with pytest.raises(TridentError, match="2 file systems have the UUID"):
        made(tmp_path, esp_of(tmp_path, UKI), Part(root, disks.ROOT), Part(home, home_type))


def test_the_architecture_can_be_named(tmp_path: Path) -> None:
    files = {**ROOT_FILES, "var/lib/dpkg/status": b"\n"}
    root = Part(filesystems.ext(tmp_path / "root", files), disks.LINUX)
    options = replace(QUICK, architecture=Architecture.AARCH64)
    assert made(tmp_path, esp_of(tmp_path, UKI), root, options=options)["osArch"] == "aarch64"


def test_nothing_that_was_deleted_is_shipped(tmp_path: Path) -> None:
    secret = random.Random(9).randbytes(300_000)
    files = {**ROOT_FILES, "root/.ssh/secret": secret, "home/kept": bytes(range(256)) * 4000}
    image = filesystems.ext(tmp_path / "root", files, size=32 << 20)
    run(["debugfs", "-w", "-R", "rm /root/.ssh/secret", image])
    assert secret[:4096] in image.read_bytes()
    made(tmp_path, esp_of(tmp_path, UKI), Part(image, disks.ROOT))
    with open_source((tmp_path / "image.cosi").as_uri()) as source:
        opened = open_image(source, None)
        extract_image(opened, opened.metadata.images[1].image, tmp_path / "out")
    content = (tmp_path / "out").read_bytes()
    assert not any(secret[at : at + 1024] in content for at in range(0, len(secret) - 1024, 4096))
    run(["e2fsck", "-f", "-n", tmp_path / "out"])


def test_what_follows_a_file_system_in_its_partition_is_kept(tmp_path: Path) -> None:
    image = filesystems.ext(tmp_path / "root", ROOT_FILES, size=8 << 20)
    with image.open("ab") as out:
        out.write(b"behind" * 200_000)
    metadata = made(tmp_path, esp_of(tmp_path, UKI), Part(image, disks.ROOT))
    size = metadata["images"][1]["image"]["uncompressedSize"]
    assert size == -(-image.stat().st_size // 2**20) * 2**20
    assert main(["cosi", "extract", str(tmp_path / "image.cosi"), "-o", str(tmp_path / "o")]) == 0
    assert (tmp_path / "o/partition-2.raw").read_bytes().startswith(image.read_bytes())


def test_without_shrinking_ext_is_taken_as_it_is(tmp_path: Path) -> None:
    image = filesystems.ext(tmp_path / "root", ROOT_FILES, size=8 << 20)
    parts = (esp_of(tmp_path, UKI), Part(image, disks.ROOT))
    made(tmp_path, *parts, options=replace(QUICK, shrink=False))
    assert main(["cosi", "extract", str(tmp_path / "image.cosi"), "-o", str(tmp_path / "o")]) == 0
    assert (tmp_path / "o/partition-2.raw").read_bytes() == image.read_bytes()


def test_the_window_is_the_users_and_the_metadata_tells_it(built: Path, tmp_path: Path) -> None:
    for log in (18, 25):
        target = tmp_path / f"{log}.cosi"
        options = ["--level", "3", "--window-log", str(log), "--progress", "none"]
        assert main(["cosi", "build", str(built / "disk.raw"), "-o", str(target), *options]) == 0
        assert metadata_of(target)["compression"] == {"maxWindowLog": log}
        with open_source(target.as_uri()) as source:
            assert verify(source, None).findings == ()
            image = open_image(source, None)
            for file in image_files(image.metadata):
                front = source.read_at(image.member(file.path).offset, 18)
                assert zstandard.get_frame_parameters(front).window_size <= 1 << log


def test_nothing_around_the_program_changes_the_bytes(built: Path, tmp_path: Path) -> None:
    """Time zone, umask, working folder, CPUs, threads, and how sparse the disk is."""
    disk, program = built / "disk.raw", Path(sys.executable).with_name("trident-iso")
    dense = tmp_path / "dense.raw"
    dense.write_bytes(disk.read_bytes())
    script = 'umask "$1"; shift; exec "$@"'
    for index, (zone, umask, cwd, cpus, source) in enumerate(
        [
            ("Pacific/Kiritimati", "077", "/", "0", disk),
            ("America/Los_Angeles", "000", str(tmp_path), "0-1", dense),
        ]
    ):
        target = tmp_path / f"{index}.cosi"
        command = ["taskset", "-c", cpus, str(program), "cosi", "build"]
        argv = ["sh", "-c", script, "sh", umask, *command, "--level", "3"]
        run([*argv, source, "-o", target], env={"TZ": zone}, cwd=Path(cwd), timeout_s=300)
        assert target.read_bytes() == (built / "image.cosi").read_bytes()


def test_the_disk_put_together_again_holds_what_it_held(built: Path, tmp_path: Path) -> None:
    cosi, again = built / "image.cosi", tmp_path / "again.raw"
    assert main(["cosi", "extract", str(cosi), "--disk", str(again), "--progress", "none"]) == 0
    original = (built / "disk.raw").read_bytes()
    disk = again.read_bytes()
    assert len(disk) == len(original)
    assert disk[: 37 * 2**20] == original[: 37 * 2**20]
    assert disk[-33 * 512 :] == original[-33 * 512 :]
    assert "No errors detected" in run(["sfdisk", "--verify", again], merge_stderr=True).stdout
    assert "No problems found" in run(["sgdisk", "--verify", again]).stdout
    root = tmp_path / "root.img"
    run(["dd", f"if={again}", f"of={root}", "bs=1M", "skip=41", "count=128", "status=none"])
    run(["e2fsck", "-f", "-n", root])
    assert again.stat().st_blocks * 512 < len(disk) // 2


def test_a_disk_of_large_sectors_is_put_together_again(tmp_path: Path) -> None:
    disk = disks.raw_disk(tmp_path, grub=True, sector=4096)
    build(disk, tmp_path / "image.cosi", QUICK)
    again = tmp_path / "again.raw"
    assert main(["cosi", "extract", str(tmp_path / "image.cosi"), "--disk", str(again)]) == 0
    assert again.read_bytes()[-6 * 4096 :] == disk.read_bytes()[-6 * 4096 :]


@pytest.mark.parametrize("variant", list(osimage.BootVariant))
def test_the_sample_system_follows_the_specification(
    variant: osimage.BootVariant, tmp_path: Path
) -> None:
    if os.geteuid():
        unavailable("building the sample system needs root")
    disk = osimage.build(osimage.Options(variant)) / osimage.FILE_NAME
    cosi = tmp_path / "sample.cosi"
    digest = build(disk, cosi, Options(packing=Packing(1, threads=2)))
    metadata = metadata_of(cosi)
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))
    with open_source(cosi.as_uri()) as source:
        assert verify(source, digest).findings == ()
    grub = variant is osimage.BootVariant.GRUB
    assert metadata["bootloader"]["type"] == ("grub" if grub else "systemd-boot")
    assert {image["mountPoint"] for image in metadata["images"]} == {"/", "/boot/efi"}
    assert {"systemd", "linux-base"} <= {package["name"] for package in metadata["osPackages"]}


def test_the_published_samples_have_no_other_fields_than_the_files_built_here(
    built: Path,
) -> None:
    """Every field of upstream's samples that applies to this disk is in its metadata."""
    sample = json.loads((CONFORMANCE / "v1.2/valid/verity-uki-systemd-boot.json").read_text())
    metadata = metadata_of(built / "image.cosi")
    assert set(sample) <= set(metadata)
    assert set(sample["disk"]) == set(metadata["disk"])
    assert set(sample["images"][0]) - {"verity"} == set(metadata["images"][0])
    assert set(sample["disk"]["gptRegions"][1]) == set(metadata["disk"]["gptRegions"][1])
    assert set(sample["bootloader"]["systemdBoot"]["entries"][0]) == set(
        metadata["bootloader"]["systemdBoot"]["entries"][0]
    )


def test_the_disk_is_never_replaced_by_its_own_image(tmp_path: Path) -> None:
    disk = disks.raw_disk(tmp_path, grub=True)
    before = disk.read_bytes()
    link = tmp_path / "link.cosi"
    link.symlink_to(disk)
    for output in (disk, link):
        with pytest.raises(TridentError, match="is the disk"):
            build(disk, output, QUICK)
    assert disk.read_bytes() == before


def test_a_place_that_is_too_small_gets_an_error_and_stays_empty(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", small])
    try:
        target = small / "image.cosi"
        assert main(["cosi", "build", str(built / "disk.raw"), "-o", str(target)]) == 1
        assert "could not be written: No space left" in capsys.readouterr().err
        cosi = str(built / "image.cosi")
        assert main(["cosi", "extract", cosi, "--disk", str(small / "disk.raw")]) == 1
        assert "could not be written: No space left" in capsys.readouterr().err
        assert main(["cosi", "randomize-uuids", cosi, "-o", str(target)]) == 1
        assert list(small.iterdir()) == []
    finally:
        run(["umount", small])


def test_a_damaged_file_system_is_repaired_in_the_copy_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = filesystems.ext(tmp_path / "root", ROOT_FILES)
    run(["debugfs", "-w", "-R", "set_super_value free_blocks_count 1", image])
    disk = disks.gpt_disk(tmp_path / "disk.raw", [esp_of(tmp_path, UKI), Part(image, disks.ROOT)])
    before = disk.read_bytes()
    assert main(["cosi", "build", str(disk), "-o", str(tmp_path / "image.cosi")]) == 0
    assert "partition 2 had errors; its copy is repaired" in capsys.readouterr().err
    assert disk.read_bytes() == before
