"""Reading and patching files inside file system images, judged by the file systems' own tools."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux import loop, mounts
from agent.linux.run import run
from iso_builder.cosi.filesystems import reader
from iso_builder.cosi.imagefs import Folder, ImageFs, copy_out, find, patch, read
from tests.kit.tools import unavailable
from tests.tools.cosi import filesystems

pytestmark = pytest.mark.tools
NOISE = random.Random(5).randbytes(700_001)
CONTENT = {
    "etc/small": b"a small file",
    "etc/empty": b"",
    "big/noise": NOISE,
    "big/sparse": b"x" * 5000 + bytes(300_000) + b"y" * 5000,
    "big/deeper/file": b"deep",
}
LINKS = {
    "etc/near": b"->small",
    "etc/up": b"->../big/noise",
    "absolute": b"->/etc/small",
    "through": b"->big/deeper",
    "far": b"->../../../../etc/near",
    "circle": b"->circle",
    "gone": b"->/etc/hostname",
}
Make = Callable[[Path], tuple[Path, str]]


def ext_small_blocks(folder: Path) -> tuple[Path, str]:
    return filesystems.ext(folder / "image", CONTENT | LINKS), "ext4"


def ext_without_extents(folder: Path) -> tuple[Path, str]:
    features = "^extent,^64bit,^metadata_csum"
    return filesystems.ext(folder / "image", CONTENT | LINKS, features=features), "ext4"


def ext_with_inline_data(folder: Path) -> tuple[Path, str]:
    return filesystems.ext(folder / "image", CONTENT | LINKS, features="inline_data"), "ext4"


def xfs(folder: Path) -> tuple[Path, str]:
    return filesystems.xfs(folder / "image", CONTENT | LINKS), "xfs"


def fat(bits: int, size: int) -> Make:
    def make(folder: Path) -> tuple[Path, str]:
        return filesystems.fat(folder / "image", CONTENT, size=size, bits=bits), "vfat"

    return make


LINKED = [ext_small_blocks, ext_without_extents, ext_with_inline_data, xfs]
FATS = [fat(12, 2 << 20), fat(16, 16 << 20), fat(32, 40 << 20)]
NAMES = ["ext", "ext-without-extents", "ext-inline", "xfs", "fat12", "fat16", "fat32"]


def opened(made: tuple[Path, str]) -> ImageFs:
    files = reader(*made)
    assert files is not None
    return files


@pytest.mark.parametrize("make", [*LINKED, *FATS], ids=NAMES)
def test_every_file_is_read_whole_and_nothing_is_invented(make: Make, tmp_path: Path) -> None:
    files = opened(make(tmp_path))
    for path, data in CONTENT.items():
        assert read(files, f"/{path}") == data, path
    assert copy_out(files, "/big/noise", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == NOISE
    for path in ("/none", "/etc", "/etc/small/x", "/big/none/file"):
        assert read(files, path) is None, path
    assert not copy_out(files, "/none", tmp_path / "none")
    assert isinstance(files.look("/big/deeper"), Folder)
    assert files.look("/none") is None


@pytest.mark.parametrize("make", [*LINKED, *FATS], ids=NAMES)
def test_folders_are_listed(make: Make, tmp_path: Path) -> None:
    files = opened(make(tmp_path))
    assert files.names("/big") == ("noise", "sparse")
    assert files.folders("/big") == ("deeper",)
    assert {"big", "etc"} <= set(files.folders("/"))
    assert files.names("/none") == files.folders("/none") == ()


@pytest.mark.parametrize("make", LINKED, ids=NAMES[:4])
def test_links_are_followed_within_the_image_only(make: Make, tmp_path: Path) -> None:
    files = opened(make(tmp_path))
    for path in ("/etc/near", "/absolute", "/far"):
        assert read(files, path) == b"a small file", path
    assert read(files, "/etc/up") == NOISE
    assert read(files, "/through/file") == b"deep"
    assert read(files, "/through/../noise") == NOISE
    for path in ("/circle", "/gone", "/circle/x"):
        assert read(files, path) is None, path


@pytest.mark.parametrize(
    "make", [LINKED[0], LINKED[1], LINKED[3], *FATS], ids=[*NAMES[:2], *NAMES[3:]]
)
def test_a_patch_changes_these_bytes_and_no_others(make: Make, tmp_path: Path) -> None:
    image, kind = make(tmp_path)
    before = image.read_bytes()
    files = opened((image, kind))
    found = find(files, "/big/noise")
    assert found is not None
    patch(image, found, 65_530, b"across blocks")
    wanted = NOISE[:65_530] + b"across blocks" + NOISE[65_543:]
    assert read(files, "/big/noise") == wanted
    changed = sum(old != new for old, new in zip(before, image.read_bytes(), strict=True))
    assert changed <= len(b"across blocks")
    _sound(image, kind)


def test_bytes_that_are_not_on_the_disk_are_not_patched(tmp_path: Path) -> None:
    files = opened(ext_with_inline_data(tmp_path))
    small = find(files, "/etc/small")
    assert small is not None
    with pytest.raises(TridentError, match="among the metadata"):
        patch(files.image, small, 0, b"A")
    sparse = find(files, "/big/sparse")
    assert sparse is not None
    with pytest.raises(TridentError, match="has a hole there"):
        patch(files.image, sparse, 150_000, b"A")


def test_names_that_the_tools_cannot_be_told_are_refused(tmp_path: Path) -> None:
    for files in (opened(ext_small_blocks(tmp_path)), opened(xfs(_folder(tmp_path / "xfs")))):
        with pytest.raises(TridentError, match="cannot be read"):
            read(files, '/a"b')


def test_a_text_that_is_no_text_is_not_read_into_memory(tmp_path: Path) -> None:
    huge = filesystems.ext(tmp_path / "image", {"huge": bytes(17 << 20)}, size=32 << 20)
    with pytest.raises(TridentError, match="no text file"):
        read(opened((huge, "ext4")), "/huge")


def test_fat_names_have_no_case(tmp_path: Path) -> None:
    image = filesystems.fat(tmp_path / "image", {"EFI/Linux/Some Long Name (1).efi": b"found"})
    files = opened((image, "vfat"))
    assert read(files, "/efi/linux/SOME LONG NAME (1).EFI") == b"found"
    assert files.names("/EFI/Linux") == ("Some Long Name (1).efi",)


def test_a_chain_of_clusters_that_never_ends_is_refused(tmp_path: Path) -> None:
    image, kind = fat(16, 16 << 20)(tmp_path)
    found = find(opened((image, kind)), "/big/noise")
    assert found is not None
    with image.open("r+b") as out:
        boot = out.read(512)
        table = int.from_bytes(boot[14:16], "little") * 512
        out.seek(table)
        # Every cluster leads to the next, and the last one used back to an earlier one.
        entries = bytearray(out.read(4096))
        for cluster in range(2, 600):
            entries[2 * cluster : 2 * cluster + 2] = (cluster + 1 if cluster < 300 else 2).to_bytes(
                2, "little"
            )
        out.seek(table)
        out.write(entries)
    with pytest.raises(TridentError) as caught:
        read(opened((image, kind)), "/big/noise")
    assert caught.value.code == "corrupt-os-image"


def test_damaged_fat_images_end_in_an_error_never_in_a_crash(tmp_path: Path) -> None:
    image, kind = fat(12, 2 << 20)(tmp_path)
    good = image.read_bytes()
    source = random.Random(3)
    refused = 0
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(source.choice((1, 3, 30))):
            damaged[source.randrange(40_000)] = source.randrange(256)
        image.write_bytes(damaged)
        try:
            files = opened((image, kind))
            files.names("/big")
            copy_out(files, "/big/noise", tmp_path / "copy")
        except TridentError as error:
            refused += error.code == "corrupt-os-image"
    assert refused > 10


def test_a_file_too_large_to_be_meant_is_not_copied(tmp_path: Path) -> None:
    image = filesystems.ext(tmp_path / "image", {"small": b"x"})
    run(["debugfs", "-w", "-R", "set_inode_field /small size 5000000000", image])
    with pytest.raises(TridentError, match="no boot file"):
        copy_out(opened((image, "ext4")), "/small", tmp_path / "copy")


def test_other_file_systems_have_no_reader(tmp_path: Path) -> None:
    assert reader(tmp_path, "btrfs") is None


@pytest.mark.parametrize("make", [ext_small_blocks, xfs], ids=["ext", "xfs"])
def test_the_kernel_sees_the_same_files_after_a_patch(make: Make, tmp_path: Path) -> None:
    image, kind = make(tmp_path)
    found = find(opened((image, kind)), "/etc/small")
    assert found is not None
    patch(image, found, 2, b"SMALL")
    if f"\t{kind}\n" not in Path("/proc/filesystems").read_text():
        unavailable(f"this kernel has no {kind}")
    with (
        loop.attached(image, read_only=True) as device,
        mounts.mounted(device, tmp_path / "mount", filesystem=kind, options=["ro"]) as place,
    ):
        assert (place / "etc/small").read_bytes() == b"a SMALL file"
        assert (place / "big/noise").read_bytes() == NOISE


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _sound(image: Path, kind: str) -> None:
    check = {
        "ext4": ["e2fsck", "-f", "-n"],
        "xfs": ["xfs_repair", "-n"],
        "vfat": ["fsck.vfat", "-n"],
    }
    run([*check[kind], image])
