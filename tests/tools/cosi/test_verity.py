"""Images that dm-verity seals: recognised, checked, left as they are."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from agent.api.errors import TridentError
from agent.cosi.metadata import CosiMetadata
from agent.cosi.reader import open_image
from agent.cosi.source import open_source
from agent.cosi.stream import extract_image
from iso_builder.cosi import randomize
from iso_builder.cosi.build import Options, Packing, build
from iso_builder.cosi.findings import Rule
from iso_builder.cosi.verify import verify
from tests.tools.cosi import disks, filesystems
from tests.tools.cosi.disks import Part
from tests.unit.cosi import images

pytestmark = pytest.mark.tools
QUICK = Options(packing=Packing(1))
ROOT_FILES = {
    "etc/os-release": disks.OS_RELEASE.encode(),
    "etc/fstab": b"/dev/mapper/root / ext4 ro 0 1\n",
    "var/lib/dpkg/status": disks.DPKG_STATUS.encode(),
    "efi/.keep": b"",
}


def root(folder: Path) -> tuple[Path, Path, str]:
    """A root file system, its hash tree and its root hash."""
    data = filesystems.ext(folder / "root", ROOT_FILES, size=16 << 20)
    return data, folder / "root.hashes", disks.seal(data, folder / "root.hashes")


def esp(folder: Path, cmdline: str) -> Path:
    uki = images.uki_bytes(cmdline, "6.1")
    return filesystems.fat(folder / "esp", {"EFI/Linux/a.efi": uki}, volume_id=disks.ESP_ID)


def built(folder: Path, *parts: Part) -> Path:
    disk = disks.gpt_disk(folder / "disk.raw", parts)
    build(disk, folder / "image.cosi", QUICK)
    return folder / "image.cosi"


def sealed(folder: Path) -> tuple[Path, str]:
    """A COSI file with a sealed root, and its root hash."""
    data, tree, digest = root(folder)
    loader = esp(folder, f"roothash={digest}")
    parts = (Part(loader, disks.ESP), Part(data, disks.ROOT), Part(tree, disks.ROOT_VERITY))
    return built(folder, *parts), digest


def metadata_of(cosi: Path) -> CosiMetadata:
    with open_source(cosi.as_uri()) as source:
        return open_image(source, None).metadata


def refusal(folder: Path, *parts: Part) -> str:
    with pytest.raises(TridentError) as caught:
        built(folder, *parts)
    assert caught.value.hint
    assert not (folder / "image.cosi").exists()
    return caught.value.message


@pytest.mark.parametrize("way", ["type", "guid", "option"])
def test_a_sealed_root_is_told_and_not_altered(way: str, tmp_path: Path) -> None:
    data, tree, digest = root(tmp_path)
    cmdline, types = f"roothash={digest} ro", (disks.ROOT, disks.ROOT_VERITY)
    guids: tuple[UUID | None, UUID | None] = (None, None)
    if way == "guid":
        # A second pair of the same types is there: an A/B disk.
        guids = (UUID(digest[:32]), UUID(digest[-32:]))
    if way == "option":
        types = (disks.LINUX, disks.LINUX)
        cmdline += (
            " systemd.verity_root_data=PARTLABEL=data systemd.verity_root_hash=PARTLABEL=tree"
        )
    parts = [
        Part(esp(tmp_path, cmdline), disks.ESP),
        Part(data, types[0], guids[0], "data"),
        Part(tree, types[1], guids[1], "tree"),
    ]
    if way == "guid":
        blank = filesystems.sized(tmp_path / "blank", 2**20)
        parts += [Part(blank, disks.ROOT), Part(blank, disks.ROOT_VERITY)]
    cosi = built(tmp_path, *parts)
    found = next(image for image in metadata_of(cosi).images if str(image.mount_point) == "/")
    assert found.verity is not None
    assert found.verity.roothash == digest
    assert found.verity.image.path == "images/partition-3.raw.zst"
    with open_source(cosi.as_uri()) as source:
        assert verify(source, None).findings == ()
        extract_image(open_image(source, None), found.image, tmp_path / "extracted")
    assert (tmp_path / "extracted").read_bytes() == data.read_bytes()


def test_a_sealed_usr_is_told(tmp_path: Path) -> None:
    usr = filesystems.ext(
        tmp_path / "usr", {"lib/os-release": disks.OS_RELEASE.encode()}, size=16 << 20
    )
    digest = disks.seal(usr, tmp_path / "usr.hashes")
    files = dict(ROOT_FILES) | {"etc/os-release": b"->../usr/lib/os-release", "usr/.keep": b""}
    bare = filesystems.ext(tmp_path / "root", files, size=16 << 20)
    cosi = built(
        tmp_path,
        Part(esp(tmp_path, f"usrhash={digest}"), disks.ESP),
        Part(usr, disks.USR),
        Part(tmp_path / "usr.hashes", disks.USR_VERITY),
        Part(bare, disks.ROOT),
    )
    metadata = metadata_of(cosi)
    assert metadata.os_release == disks.OS_RELEASE
    found = {str(image.mount_point): image.verity for image in metadata.images}
    assert found["/usr"] is not None
    assert found["/usr"].roothash == digest
    assert found["/"] is None
    assert sorted(found) == ["/", "/efi", "/usr"]


def test_grub_passes_the_root_hash_as_well(tmp_path: Path) -> None:
    data, tree, digest = root(tmp_path)
    config = f"menuentry x {{\n linux /vmlinuz root=/dev/mapper/root roothash={digest}\n}}\n"
    loader = filesystems.fat(tmp_path / "esp", {"EFI/azl/grub.cfg": config.encode()})
    cosi = built(
        tmp_path, Part(loader, disks.ESP), Part(data, disks.ROOT), Part(tree, disks.ROOT_VERITY)
    )
    assert [image.verity is not None for image in metadata_of(cosi).images] == [False, True]


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    data, tree, digest = root(tmp_path)
    good = esp(tmp_path, f"roothash={digest}")
    data_part, tree_part = Part(data, disks.ROOT), Part(tree, disks.ROOT_VERITY)
    (tmp_path / "x").mkdir()
    plain = esp(tmp_path / "x", "ro")
    assert "no kernel command line tells" in refusal(
        tmp_path, Part(plain, disks.ESP), data_part, tree_part
    )
    assert "no partition can be its hash" in refusal(tmp_path, Part(good, disks.ESP), data_part)
    assert "holds no verity hash tree" in refusal(
        tmp_path, Part(good, disks.ESP), data_part, Part(plain, disks.ROOT_VERITY)
    )
    assert "more than one partition can be its data" in refusal(
        tmp_path, Part(good, disks.ESP), data_part, Part(data, disks.ROOT), tree_part
    )


def test_command_lines_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    data, tree, digest = root(tmp_path)
    ukis = {
        "EFI/Linux/a.efi": images.uki_bytes(f"roothash={digest}", "6.1"),
        "EFI/Linux/b.efi": images.uki_bytes(f"roothash={'0' * 64}", "6.1"),
    }
    both = filesystems.fat(tmp_path / "esp", ukis)
    parts = (Part(data, disks.ROOT), Part(tree, disks.ROOT_VERITY))
    assert "more than one roothash" in refusal(tmp_path, Part(both, disks.ESP), *parts)
    (tmp_path / "x").mkdir()
    nonsense = esp(tmp_path / "x", "roothash=abc")
    assert "has roothash=abc" in refusal(tmp_path, Part(nonsense, disks.ESP), *parts)


def test_a_changed_block_is_found_when_building(tmp_path: Path) -> None:
    data, tree, digest = root(tmp_path)
    with data.open("r+b") as out:
        out.seek(9 << 20)
        out.write(b"changed later")
    message = refusal(
        tmp_path,
        Part(esp(tmp_path, f"roothash={digest}"), disks.ESP),
        Part(data, disks.ROOT),
        Part(tree, disks.ROOT_VERITY),
    )
    assert "is not what the root hash" in message


def test_a_wrong_root_hash_in_the_metadata_is_found(tmp_path: Path) -> None:
    cosi, digest = sealed(tmp_path)
    content = cosi.read_bytes()
    wrong = content.replace(
        f'"roothash": "{digest}"'.encode(), f'"roothash": "{digest[::-1]}"'.encode()
    )
    assert wrong != content
    cosi.write_bytes(wrong)
    with open_source(cosi.as_uri()) as source:
        (finding,) = verify(source, None).findings
    assert finding.rule is Rule.VERITY
    assert "is not what the root hash" in finding.message


def test_a_sealed_image_keeps_its_uuids(tmp_path: Path) -> None:
    cosi, _ = sealed(tmp_path)
    with open_source(cosi.as_uri()) as source, pytest.raises(TridentError) as caught:
        randomize.randomize(
            open_image(source, None), tmp_path / "other.cosi", randomize.Options(level=1)
        )
    assert caught.value.identifier == "unsupported-configuration/uuid-unchangeable"
    assert "sealed by dm-verity" in caught.value.message
    assert not (tmp_path / "other.cosi").exists()
