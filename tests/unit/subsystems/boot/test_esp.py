"""Which boot files are copied, from directories that stand for mounted ESPs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture
from agent.linux.run import run
from agent.subsystems.boot import esp, families
from agent.subsystems.boot.esp import BootFile
from agent.subsystems.boot.families import AZURE_LINUX, DEBIAN, SYSTEMD_BOOT, Family
from tests.unit.subsystems.storage.samples import metadata

X64 = Architecture.X86_64
UUID = "88d2fa9b-7a32-450a-a9f8-aa9c3de79298"
CFG = "search -n -u 1adc13e8-f140-4109-9eee-bd8e1efe96b8 -s\n"


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CFG if path.endswith(".cfg") else path)
    return root


def names(selected: tuple[BootFile, ...]) -> list[str]:
    return [file.target for file in selected]


@pytest.mark.parametrize(
    ("family", "paths"),
    [
        (DEBIAN, ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/BOOT/grub.cfg")),
        (DEBIAN, ("EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi", "EFI/debian/grub.cfg")),
        (DEBIAN, ("efi/boot/bootx64.efi", "efi/boot/GRUBX64.EFI", "boot/grub/grub.cfg")),
        (
            AZURE_LINUX,
            ("EFI/BOOT/bootx64.efi", "EFI/BOOT/grubx64-noprefix.efi", "boot/grub2/grub.cfg"),
        ),
    ],
)
def test_boot_loaders_get_the_names_that_the_firmware_and_shim_want(
    tmp_path: Path, family: Family, paths: tuple[str, ...]
) -> None:
    selected = esp.select(tree(tmp_path, *paths), family, X64, "AZLA", UUID)
    assert names(selected) == [
        "EFI/AZLA/bootx64.efi",
        "EFI/AZLA/grubx64.efi",
        "EFI/AZLA/grub.cfg",
    ]
    first, second, config = selected
    assert (first.content, second.content) == (tmp_path / paths[0], tmp_path / paths[1])
    assert config.content == f"search -n -u {UUID} -s\n".encode()


def test_systemd_boot_needs_no_second_stage(tmp_path: Path) -> None:
    image = tree(tmp_path, "EFI/BOOT/BOOTX64.EFI")
    assert names(esp.select(image, SYSTEMD_BOOT, X64, "AZLB", UUID)) == ["EFI/AZLB/bootx64.efi"]
    tree(tmp_path, "EFI/BOOT/grubx64.efi")
    assert names(esp.select(image, SYSTEMD_BOOT, X64, "AZLB", UUID))[1] == "EFI/AZLB/grubx64.efi"


@pytest.mark.parametrize(
    ("family", "paths", "missing"),
    [
        (DEBIAN, (), "EFI/BOOT/bootx64.efi"),
        (DEBIAN, ("EFI/BOOT/bootx64.efi",), "EFI/BOOT/grubx64.efi"),
        (DEBIAN, ("EFI/BOOT/bootx64.efi", "EFI/BOOT/grubx64.efi"), "EFI/BOOT/grub.cfg"),
        (AZURE_LINUX, ("EFI/BOOT/bootx64.efi", "EFI/BOOT/grubx64.efi"), "grubx64-noprefix.efi"),
    ],
)
def test_a_missing_boot_file_is_named(
    tmp_path: Path, family: Family, paths: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(TridentError, match=missing) as caught:
        esp.select(tree(tmp_path, *paths), family, X64, "AZLA", UUID)
    assert caught.value.code == "deploy-esp-images"


def test_a_uki_is_staged_with_its_add_ons_only(tmp_path: Path) -> None:
    image = tree(
        tmp_path,
        "EFI/Linux/debian-1.efi",
        "EFI/Linux/debian-1.efi.extra.d/a.addon.efi",
        "EFI/Linux/debian-1.efi.extra.d/key.cred",
        "EFI/Linux/debian-1.efi.extra.d/README",
    )
    assert names(esp.select_uki(image)) == [
        "EFI/Linux/vmlinuz-0.efi.staged",
        "EFI/Linux/vmlinuz-0.efi.staged.extra.d/a.addon.efi",
        "EFI/Linux/vmlinuz-0.efi.staged.extra.d/key.cred",
        "loader/entries.srel",
    ]


@pytest.mark.parametrize("paths", [(), ("EFI/Linux/a.efi", "EFI/Linux/b.efi")])
def test_an_image_has_exactly_one_uki(tmp_path: Path, paths: tuple[str, ...]) -> None:
    with pytest.raises(TridentError, match=f"it holds {len(paths)}"):
        esp.select_uki(tree(tmp_path, *paths))


def test_space_is_counted_in_clusters() -> None:
    files = [BootFile("a", b"x"), BootFile("b", bytes(4097)), BootFile("c", b"")]
    assert esp.needed_bytes(files, 4096) == 3 * 4096


def test_a_full_esp_is_refused_with_the_numbers(tmp_path: Path) -> None:
    """F14."""
    huge = tmp_path / "huge.efi"
    with huge.open("wb") as stream:
        stream.truncate(1 << 43)
    with pytest.raises(TridentError, match="is too full") as caught:
        esp.require_room(tmp_path, [BootFile("EFI/AZLA/bootx64.efi", huge)])
    assert caught.value.fields["neededBytes"] == str(1 << 43)
    esp.require_room(tmp_path, [BootFile("EFI/AZLA/bootx64.efi", huge)], freed=[huge])


def test_boot_files_larger_than_the_partition_are_refused_before_it_exists() -> None:
    """F14."""
    files = [BootFile("a", bytes(1000)), BootFile("b", bytes(24))]
    esp.require_capacity(1024, files)
    with pytest.raises(TridentError, match="is too small: the boot files need 1024 bytes, 1023"):
        esp.require_capacity(1023, files)


def test_copying_replaces_the_directory_and_touches_no_other(tmp_path: Path) -> None:
    """F07."""
    image = tree(tmp_path / "image", "new")
    target = tree(
        tmp_path / "esp", "EFI/AZLA/old.efi", "EFI/AZLA/bootx64.efi", "EFI/AZLB/bootx64.efi"
    )
    files = (
        BootFile("EFI/AZLA/bootx64.efi", image / "new"),
        BootFile("EFI/AZLA/grub.cfg", b"config"),
        BootFile("loader/entries.srel", b"type1\n"),
    )
    esp.copy(target, files, "AZLA")
    assert {
        path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()
    } == {
        "EFI/AZLA/bootx64.efi",
        "EFI/AZLA/grub.cfg",
        "EFI/AZLB/bootx64.efi",
        "loader/entries.srel",
    }
    assert (target / "EFI/AZLA/bootx64.efi").read_text() == "new"
    assert (target / "EFI/AZLB/bootx64.efi").read_text() == "EFI/AZLB/bootx64.efi"


CUT = """
import resource, signal, sys
from pathlib import Path
from agent.subsystems.boot import esp
from agent.subsystems.boot.esp import BootFile
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
files = [BootFile(f"EFI/AZLB/{name}", bytes([65 + index]) * size) for index, (name, size) in
         enumerate([("bootx64.efi", 9000), ("grubx64.efi", 6000), ("grub.cfg", 3000)])]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
esp.copy(Path(sys.argv[1]), files, "AZLB")
"""


@pytest.mark.parametrize("limit", [0, 2999, 3000, 5999, 6000, 8999, 9000])
def test_f07_a_cut_in_the_middle_of_any_boot_file_leaves_old_or_new_ones_whole(
    tmp_path: Path, limit: int
) -> None:
    """The kernel kills the copying process at a byte of a file, as a power cut would."""
    old = ("EFI/AZLA/bootx64.efi", "EFI/AZLB/bootx64.efi", "EFI/AZLB/grub.cfg")
    root = tree(tmp_path / "esp", *old)
    done = run([sys.executable, "-c", CUT, root, str(limit)], ok=range(-64, 2), cwd=Path.cwd())
    assert (done.returncode == 0) is (limit >= 9000)
    whole = {b"A" * 9000, b"B" * 6000, b"C" * 3000, b"EFI/AZLB/bootx64.efi", CFG.encode()}
    for file in (root / "EFI/AZLB").iterdir():
        assert file.name.endswith(".new") or file.read_bytes() in whole
    loader = (root / "EFI/AZLB/bootx64.efi").read_bytes()
    assert (loader == b"A" * 9000) is (limit >= 9000)
    assert (root / "EFI/AZLA/bootx64.efi").read_text() == "EFI/AZLA/bootx64.efi"


def test_what_hides_the_grub_config_from_debian_s_grub_is_refused(tmp_path: Path) -> None:
    esp.check_shadows(tree(tmp_path, "EFI/AZLA/grub.cfg"), DEBIAN)
    tree(tmp_path, "efi/Debian/grub.cfg")
    esp.check_shadows(tmp_path, AZURE_LINUX)
    with pytest.raises(TridentError, match="EFI/debian"):
        esp.check_shadows(tmp_path, DEBIAN)


@pytest.mark.parametrize(
    ("loader", "os_release", "family"),
    [
        ({"type": "grub"}, "ID=debian\n", DEBIAN),
        ({"type": "grub"}, 'ID="azurelinux"\n', AZURE_LINUX),
        (
            {
                "type": "systemd-boot",
                "systemdBoot": {
                    "entries": [
                        {"type": "uki-standalone", "path": "/x", "cmdline": "", "kernel": ""}
                    ]
                },
            },
            "ID=debian\n",
            SYSTEMD_BOOT,
        ),
    ],
)
def test_the_family_is_told_by_boot_loader_and_os(
    loader: dict[str, object], os_release: str, family: Family
) -> None:
    assert families.of_image(metadata(bootloader=loader, osRelease=os_release)) is family


def test_a_grub_image_of_an_unknown_os_is_unsupported() -> None:
    with pytest.raises(TridentError, match="'fedora'") as caught:
        families.of_image(metadata(osRelease="ID=fedora\n"))
    assert caught.value.identifier == "unsupported-configuration/unsupported-boot-loader"
