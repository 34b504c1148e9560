"""New UUIDs for the file systems of a COSI file, and everything that names them follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.cosi import pe
from agent.cosi.metadata import CosiMetadata
from agent.cosi.reader import open_image
from agent.cosi.source import open_source
from agent.cosi.stream import extract_image
from agent.linux import probe
from agent.linux.run import run
from iso_builder.cli import main
from iso_builder.cosi.build import Options, Packing, build
from iso_builder.cosi.filesystems import reader
from iso_builder.cosi.imagefs import read, read_text
from iso_builder.cosi.references import Renaming
from iso_builder.cosi.verify import verify
from tests.tools.cosi import disks, filesystems
from tests.tools.cosi.disks import Part
from tests.unit.cosi import images

pytestmark = pytest.mark.tools
ROOT_UUID, BOOT_UUID, ESP_ID = disks.ROOT_UUID, "0b53ba24-5a6e-4b8e-9a0e-6a3f0b7f4a21", disks.ESP_ID
FSTAB = (
    f"UUID={ROOT_UUID} / ext4 defaults 0 1\n"
    f"UUID={BOOT_UUID.upper()} /boot xfs defaults 0 1\n"
    f"/dev/disk/by-uuid/{ESP_ID} /boot/efi vfat umask=77 0 2\n"
    f"# a longer one: {ROOT_UUID}0 stays\n"
)
ROOT_FILES = {
    "etc/os-release": disks.OS_RELEASE.encode(),
    "etc/fstab": FSTAB.encode(),
    "etc/default/grub": f'GRUB_CMDLINE_LINUX="root=UUID={ROOT_UUID}"\n'.encode(),
    "var/lib/dpkg/status": disks.DPKG_STATUS.encode(),
    "boot/efi/.keep": b"",
}
GRUB_CFG = f"search --fs-uuid --set=root {BOOT_UUID}\nlinux /vmlinuz root=UUID={ROOT_UUID} ro\n"
BOOT_FILES = {
    "grub2/grub.cfg": GRUB_CFG.encode(),
    "grub2/grubenv": f"kernelopts=root=UUID={ROOT_UUID}\n".encode().ljust(1024, b"#"),
    "loader/entries/a.conf": f"linux /vmlinuz\noptions root=UUID={ROOT_UUID}\n".encode(),
}


def grub_cosi(folder: Path) -> Path:
    """An OS with ext4 root, XFS boot partition and FAT ESP, booted by GRUB."""
    esp_files = {"EFI/azl/grub.cfg": f"search --fs-uuid --set=root {BOOT_UUID}\n".encode()}
    parts = [
        Part(
            filesystems.fat(folder / "esp", esp_files, volume_id=ESP_ID, size=40 << 20, bits=32),
            disks.ESP,
        ),
        Part(filesystems.xfs(folder / "boot", BOOT_FILES, uuid=BOOT_UUID), disks.LINUX),
        Part(
            filesystems.ext(folder / "root", ROOT_FILES, uuid=ROOT_UUID, size=24 << 20), disks.ROOT
        ),
        Part(filesystems.sized(folder / "blank", 2**20), disks.LINUX),
    ]
    disk = disks.gpt_disk(folder / "disk.raw", parts)
    build(disk, folder / "image.cosi", Options(packing=Packing(1)))
    return folder / "image.cosi"


def uki_cosi(folder: Path, cmdline: str, *, signed: bool = False, extra: str = "") -> Path:
    uki = images.uki_bytes(cmdline, "6.1", signed=signed)
    if extra:
        uki = images.pe_bytes(
            {".linux": images.bzimage_bytes("6.1"), ".cmdline": cmdline.encode(), extra: b"x"}
        )
    esp_files = {
        "EFI/Linux/a.efi": uki,
        "EFI/BOOT/BOOTX64.EFI": images.pe_bytes({".text": b"x"}),
        "EFI/x/broken.efi": b"no program",
        "EFI/x/empty.efi": b"",
    }
    parts = [
        Part(filesystems.fat(folder / "esp", esp_files, volume_id=ESP_ID), disks.ESP),
        Part(filesystems.ext(folder / "root", ROOT_FILES, uuid=ROOT_UUID), disks.ROOT),
    ]
    build(
        disks.gpt_disk(folder / "disk.raw", parts),
        folder / "image.cosi",
        Options(packing=Packing(1)),
    )
    return folder / "image.cosi"


def randomize(cosi: Path, target: Path, *options: str) -> int:
    return main(["cosi", "randomize-uuids", str(cosi), "-o", str(target), "--level", "1", *options])


def metadata_of(cosi: Path) -> CosiMetadata:
    with open_source(cosi.as_uri()) as source:
        return open_image(source, None).metadata


def extracted(cosi: Path, folder: Path) -> Mapping[str, Path]:
    """The file systems of a COSI file by mount point."""
    folder.mkdir()
    found = {}
    with open_source(cosi.as_uri()) as source:
        image = open_image(source, None)
        for index, entry in enumerate(image.metadata.images):
            found[str(entry.mount_point)] = folder / str(index)
            extract_image(image, entry.image, folder / str(index))
    return found


def text_of(image: Path, path: str) -> str:
    files = reader(image, probe.signature(image).filesystem or "")
    assert files is not None
    return read_text(files, path) or ""


def test_every_file_system_gets_another_uuid_and_all_that_names_it_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cosi, other = grub_cosi(tmp_path), tmp_path / "other.cosi"
    assert randomize(cosi, other) == 0
    out = capsys.readouterr().out
    with open_source(other.as_uri()) as source:
        assert verify(source, None).findings == ()
    before = {str(image.mount_point): image.fs_uuid for image in metadata_of(cosi).images}
    after = {str(image.mount_point): image.fs_uuid for image in metadata_of(other).images}
    assert before == {"/boot/efi": ESP_ID, "/boot": BOOT_UUID, "/": ROOT_UUID}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    places = extracted(other, tmp_path / "out")
    for point, place in places.items():
        assert probe.signature(place).uuid == after[point]
    assert text_of(places["/"], "/etc/fstab") == (
        FSTAB.replace(f"={ROOT_UUID}", f"={after['/']}")
        .replace(BOOT_UUID.upper(), after["/boot"])
        .replace(ESP_ID, after["/boot/efi"])
    )
    assert after["/"] in text_of(places["/"], "/etc/default/grub")
    renamed = GRUB_CFG.replace(ROOT_UUID, after["/"]).replace(BOOT_UUID, after["/boot"])
    assert text_of(places["/boot"], "/grub2/grub.cfg") == renamed
    assert after["/"] in text_of(places["/boot"], "/grub2/grubenv")
    assert after["/"] in text_of(places["/boot"], "/loader/entries/a.conf")
    assert after["/boot"] in text_of(places["/boot/efi"], "/EFI/azl/grub.cfg")
    run(["e2fsck", "-f", "-n", places["/"]])
    run(["xfs_repair", "-n", places["/boot"]])
    run(["fsck.vfat", "-n", places["/boot/efi"]])
    assert "changed: /boot/grub2/grub.cfg" in out
    assert "changed: /etc/fstab" in out
    assert f"{ROOT_UUID} -> {after['/']}" in out


def test_what_does_not_change_is_kept_byte_for_byte(tmp_path: Path) -> None:
    cosi, other = grub_cosi(tmp_path), tmp_path / "other.cosi"
    assert randomize(cosi, other) == 0
    (before, after) = (metadata_of(path) for path in (cosi, other))
    assert before.disk is not None
    assert after.disk is not None
    same = [
        old.image.path
        for old, new in zip(before.disk.gpt_regions, after.disk.gpt_regions, strict=True)
        if old.image == new.image
    ]
    assert same == ["images/primary-gpt.raw.zst", "images/partition-4.raw.zst"]
    assert (before.os_packages, before.os_release) == (after.os_packages, after.os_release)
    assert before.id != after.id


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    cosi = grub_cosi(tmp_path)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert randomize(cosi, tmp_path / f"{name}.cosi", "--seed", seed) == 0
    a, b, c = ((tmp_path / f"{name}.cosi").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_command_line_of_a_unified_kernel_image_follows(tmp_path: Path) -> None:
    cosi, other = uki_cosi(tmp_path, f"root=UUID={ROOT_UUID} ro"), tmp_path / "other.cosi"
    assert randomize(cosi, other) == 0
    metadata = metadata_of(other)
    root = next(image.fs_uuid for image in metadata.images if str(image.mount_point) == "/")
    esp = extracted(other, tmp_path / "out")["/boot/efi"]
    files = reader(esp, "vfat")
    assert files is not None
    assert pe.parse_uki(read(files, "/EFI/Linux/a.efi") or b"").cmdline == f"root=UUID={root} ro"
    assert metadata.bootloader is not None
    assert metadata.bootloader.systemd_boot is not None
    assert metadata.bootloader.systemd_boot.entries[0].cmdline == f"root=UUID={root} ro"


@pytest.mark.parametrize(("signed", "extra"), [(True, ""), (False, ".pcrsig")])
def test_a_signed_unified_kernel_image_is_refused_with_the_reason(
    signed: bool, extra: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cosi = uki_cosi(tmp_path, f"root=UUID={ROOT_UUID}", signed=signed, extra=extra)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert randomize(cosi, tmp_path / "other.cosi") == 1
    error = capsys.readouterr().err
    assert "unsupported-configuration/signed-boot-file" in error
    assert "/EFI/Linux/a.efi is " in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_signed_image_that_names_no_uuid_is_left_as_it_is(tmp_path: Path) -> None:
    cosi = uki_cosi(tmp_path, "root=PARTLABEL=root", signed=True)
    assert randomize(cosi, tmp_path / "other.cosi") == 0


def test_file_systems_that_cannot_be_changed_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = images.metadata_of(images.sample_pieces())
    for kind in ("btrfs", "squashfs"):
        metadata["images"][1]["fsType"] = kind
        (tmp_path / "image.cosi").write_bytes(images.cosi_bytes(metadata=metadata))
        assert randomize(tmp_path / "image.cosi", tmp_path / "other.cosi") == 1
        error = capsys.readouterr().err
        assert "unsupported-configuration/uuid-unchangeable" in error
        assert kind in error
    assert not (tmp_path / "other.cosi").exists()


def test_mentions_in_other_files_are_counted_and_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    root = dict(ROOT_FILES) | {"var/log/messages": f"mounted {ROOT_UUID}\n".encode() * 2}
    esp_files = {"EFI/BOOT/grub.cfg": b"x"}
    parts = [
        Part(filesystems.fat(tmp_path / "esp", esp_files, volume_id=ESP_ID), disks.ESP),
        Part(filesystems.ext(tmp_path / "root", root, uuid=ROOT_UUID), disks.ROOT),
    ]
    disk = disks.gpt_disk(tmp_path / "disk.raw", parts)
    build(disk, tmp_path / "image.cosi", Options(packing=Packing(1)))
    assert randomize(tmp_path / "image.cosi", tmp_path / "other.cosi") == 0
    # The comment in fstab holds a longer number that begins the same.
    assert "left: 3 mentions of old UUIDs in images/partition-2.raw.zst" in capsys.readouterr().out


def test_only_whole_identifiers_are_renamed_whatever_their_case() -> None:
    renaming = Renaming({"C3D4-250D": "0000-1111", ROOT_UUID: "f" * 36})
    assert renaming.apply(b"c3d4-250d C3D4-250D") == b"0000-1111 0000-1111"
    inside = b"aaaac3d4-250d-4b8e-9a0e-6a3f0b7f4a21"
    assert renaming.apply(inside) == inside
    assert renaming.text(f"UUID={ROOT_UUID.upper()},") == f"UUID={'f' * 36},"


def test_mentions_across_the_pieces_of_a_file_are_counted_once(tmp_path: Path) -> None:
    renaming = Renaming({ROOT_UUID: "f" * 36})
    for at in (0, 4 * 2**20 - 20, 4 * 2**20 - 36, 4 * 2**20, 9 * 2**20):
        content = bytearray(10 * 2**20)
        content[at : at + 36] = ROOT_UUID.upper().encode()
        (tmp_path / "file").write_bytes(content)
        assert renaming.count(tmp_path / "file") == 1, at
