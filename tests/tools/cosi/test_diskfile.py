"""Disks in the formats that virtual machines leave them in, made by qemu-img."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux.run import run
from iso_builder.cosi.build import Options, Packing, build
from iso_builder.cosi.diskfile import DiskFormat, open_disk
from tests.tools.cosi import disks

pytestmark = pytest.mark.tools
QUICK = Options(packing=Packing(1))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disks.raw_disk(tmp_path_factory.mktemp("disk"), grub=True)


def converted(raw: Path, target: Path, image_format: str, *options: str) -> Path:
    run(["qemu-img", "convert", "-O", image_format, *options, raw, target])
    return target


def fixed_vhd(raw: Path, target: Path) -> Path:
    return converted(raw, target, "vpc", "-o", "subformat=fixed,force_size=on")


def refusal(path: Path) -> TridentError:
    with pytest.raises(TridentError) as caught:
        open_disk(path)
    assert caught.value.hint
    return caught.value


def test_every_format_of_a_disk_gives_the_same_cosi_file(raw: Path, tmp_path: Path) -> None:
    sources = {
        DiskFormat.RAW: raw,
        DiskFormat.QCOW2: converted(raw, tmp_path / "a, b.img", "qcow2", "-c"),
        DiskFormat.FIXED_VHD: fixed_vhd(raw, tmp_path / "b.img"),
    }
    digests = set()
    for image_format, source in sources.items():
        before = hashlib.sha256(source.read_bytes()).digest()
        assert open_disk(source).format is image_format
        assert open_disk(source).size == raw.stat().st_size
        build(source, tmp_path / "image.cosi", QUICK)
        digests.add(hashlib.sha256((tmp_path / "image.cosi").read_bytes()).hexdigest())
        assert hashlib.sha256(source.read_bytes()).digest() == before
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("image_format", "name", "command"),
    [
        ("vpc", "dynamic VHD", "qemu-img convert -f vpc -O raw"),
        ("vhdx", "VHDX", "qemu-img convert -f vhdx -O raw"),
        ("vmdk", "VMDK", "qemu-img convert -f vmdk -O raw"),
        ("vdi", "VDI", "qemu-img convert -f vdi -O raw"),
    ],
)
def test_other_formats_are_named_and_the_command_of_the_hint_converts_them(
    image_format: str, name: str, command: str, raw: Path, tmp_path: Path
) -> None:
    image = converted(raw, tmp_path / "a disk.img", image_format)
    error = refusal(image)
    assert error.identifier == "unsupported-configuration/disk-format-unsupported"
    assert name in error.message
    assert error.hint is not None
    assert error.hint.startswith(f"convert it: {command}")
    run(["sh", "-c", error.hint.removeprefix("convert it: ")])
    result = (tmp_path / "a disk.raw").read_bytes()
    assert result[: raw.stat().st_size] == raw.read_bytes()


@pytest.mark.parametrize("tool", ["gzip", "xz", "zstd"])
def test_compressed_disks_are_named_with_the_command_that_unpacks_them(
    tool: str, tmp_path: Path
) -> None:
    (tmp_path / "disk.img").write_bytes(b"content")
    run(["sh", "-c", f"{tool} -c disk.img > disk.{tool}"], cwd=tmp_path)
    error = refusal(tmp_path / f"disk.{tool}")
    assert f"compressed with {tool}" in error.message
    assert error.hint is not None
    run(["sh", "-c", error.hint.removeprefix("decompress it: ")])
    assert (tmp_path / "disk.raw").read_bytes() == b"content"


def test_a_damaged_vhd_is_refused(raw: Path, tmp_path: Path) -> None:
    data = fixed_vhd(raw, tmp_path / "good.vhd").read_bytes()
    bad = tmp_path / "bad.vhd"
    bad.write_bytes(data[:-500] + b"\1" + data[-499:])
    assert "checksum" in refusal(bad).message
    bad.write_bytes(data[:-1024] + data[-512:])
    assert "claims a disk of" in refusal(bad).message
    whole = converted(raw, tmp_path / "dynamic.vhd", "vpc").read_bytes()
    bad.write_bytes(whole[:-700])
    assert "truncated" in refusal(bad).message


def test_a_qcow2_image_that_needs_other_files_is_refused(tmp_path: Path) -> None:
    for name in ("base.qcow2", "secret"):
        run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / name, "4M"])
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b"]
    run([*overlay, tmp_path / "secret", tmp_path / "overlay.img"])
    error = refusal(tmp_path / "overlay.img")
    assert f"it needs {tmp_path / 'secret'}" in error.message
    split = ["-o", f"data_file={tmp_path / 'data'}"]
    run(["qemu-img", "create", "-q", "-f", "qcow2", *split, tmp_path / "split.img", "4M"])
    assert "it needs" in refusal(tmp_path / "split.img").message


def test_an_encrypted_image_is_refused(tmp_path: Path) -> None:
    # not LUKS, for which qemu-img times the processor, in vain where it is busy
    secret = ["--object", "secret,id=s,data=abc", "-o", "encrypt.format=aes,encrypt.key-secret=s"]
    image = tmp_path / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", *secret, image, "4M"])
    assert "is encrypted" in refusal(image).message


def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none").message
    (tmp_path / "empty").touch()
    with pytest.raises(TridentError, match="no GUID partition table"):
        build(tmp_path / "empty", tmp_path / "image.cosi", QUICK)
