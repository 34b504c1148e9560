"""Looking into extension images: file systems, disk images, names, and links that lead out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.extensions import ExtensionKind, Wanted
from agent.api.osconfig import Extension
from agent.linux.run import run
from agent.subsystems.extensions import image

pytestmark = pytest.mark.tools

RELEASE = "usr/lib/extension-release.d/extension-release.tools"
USR = "8484680c-9521-48c6-9c11-b0720656f69e"
ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
START_SECTOR = 2048


def wanted(path: str | None = None, kind: ExtensionKind = ExtensionKind.SYSEXT) -> Wanted:
    entry = {"url": "http://h/file.raw", "sha384": "a" * 96} | ({"path": path} if path else {})
    return Wanted(kind, Extension.model_validate_json(str(entry).replace("'", '"')))


def tree(work: Path, release: str = RELEASE) -> Path:
    file = work / "tree" / release
    file.parent.mkdir(parents=True)
    file.write_text("ID=_any\nSYSEXT_ID=tools\n")
    return work / "tree"


def packed(source: Path) -> Path:
    target = source.with_name("file.raw")
    run(["mksquashfs", source, target, "-quiet", "-no-progress", "-noappend"])
    return target


def disk(filesystem: Path, type_guid: str) -> Path:
    """A GPT disk image whose one partition holds the file system."""
    target = filesystem.with_name("disk.raw")
    data = filesystem.read_bytes()
    with target.open("wb") as stream:
        stream.truncate((START_SECTOR + 2048) * 512 + len(data) // 512 * 512)
        stream.seek(START_SECTOR * 512)
        stream.write(data)
    script = f"label: gpt\nstart={START_SECTOR}, type={type_guid}\n"
    run(["sfdisk", "--quiet", "--no-tell-kernel", target], stdin=script.encode())
    return target


def refused(file: Path, asked: Wanted) -> str:
    with pytest.raises(TridentError) as caught:
        image.examine(file, asked, Path("/"))
    assert caught.value.identifier == "invalid-input/invalid-extension-image"
    return caught.value.message


@pytest.mark.parametrize("kind", ["squashfs", "root", "usr"])
def test_a_file_system_and_a_disk_image_of_root_or_usr_say_their_name(
    tmp_path: Path, kind: str
) -> None:
    release = RELEASE.removeprefix("usr/") if kind == "usr" else RELEASE
    file = packed(tree(tmp_path, release))
    if kind != "squashfs":
        file = disk(file, USR if kind == "usr" else ROOT)
    assert image.examine(file, wanted(), Path("/")) == "tools"
    assert str(file) not in run(["losetup", "--list"]).stdout


def test_a_disk_image_without_root_or_usr_is_refused(tmp_path: Path) -> None:
    assert "no root or /usr partition" in refused(disk(packed(tree(tmp_path)), DATA), wanted())


def test_a_damaged_partition_table_is_refused(tmp_path: Path) -> None:
    file = disk(packed(tree(tmp_path)), ROOT)
    with file.open("r+b") as stream:
        stream.seek(1024)
        stream.write(b"x")
    assert "checksum" in refused(file, wanted())


def test_a_file_that_holds_no_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.raw").write_bytes(b"<html>not found</html>" * 1000)
    assert "no file system" in refused(tmp_path / "file.raw", wanted())


def test_a_file_name_that_is_not_the_images_own_is_refused_unless_it_does_not_mind(
    tmp_path: Path,
) -> None:
    source = tree(tmp_path)
    other = wanted("/etc/extensions/other.raw")
    assert "it calls itself 'tools'" in refused(packed(source), other)
    os.setxattr(source / RELEASE, "user.extension-release.strict", b"no")
    assert image.examine(packed(source), other, Path("/")) == "tools"


def test_an_image_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    message = refused(packed(tree(tmp_path)), wanted(kind=ExtensionKind.CONFEXT))
    assert "it holds 0 files /etc/extension-release.d/extension-release.NAME" in message


@pytest.mark.parametrize("link", ["usr", "usr/lib", "usr/lib/extension-release.d", RELEASE])
def test_links_in_the_image_do_not_lead_out_of_it(tmp_path: Path, link: str) -> None:
    """To files of the host that would do."""
    source = tree(tmp_path)
    outside = tmp_path / "outside"
    (source / link).rename(outside)
    (source / link).symlink_to(outside)
    refused(packed(source), wanted())


def test_the_operating_system_is_read_without_following_links_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "etc/os-release").symlink_to("/etc/os-release")
    assert image.os_release(tmp_path) == {}
    (tmp_path / "usr/lib/os-release").write_text("ID=target\n")
    assert image.os_release(tmp_path) == {"ID": "target"}
