"""Media as other tools see them: sgdisk, xorriso, mtools; and the commands of the how-to guide."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest

from agent.linux.run import find, run
from agent.medium import layout
from agent.medium.description import Description
from agent.medium.menu import Menu
from agent.trust import keys
from iso_builder import loaders, verify
from iso_builder.cli import main
from iso_builder.medium import build, efi, filesystem
from lab.certificates import authority
from tests.kit.tools import unavailable
from tests.unit.cosi.images import cosi_bytes

pytestmark = pytest.mark.tools

GUIDE = Path(__file__).parents[3] / "docs/how-to/iso.md"
TRUST_GUIDE = GUIDE.with_name("trust-media.md")
LABEL = "TRIDENT_0123456789AB"
# Signatures by one key are equal, so a signed image can be made again as well.
KEY = keys.generate()


@pytest.fixture(scope="module", name="iso")
def small_medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A medium with the real boot loaders and stand-ins for kernel and root file system."""
    for tool in ("sgdisk", "xorriso", "mkfs.vfat", "mcopy", "mmdebstrap"):
        if find(tool) is None:
            unavailable(f"{tool} is not installed")
    if os.geteuid() != 0:
        unavailable("boot loaders are taken out of Debian packages by root")
    folder = tmp_path_factory.mktemp("medium")
    return assemble(folder, "medium.iso")


def assemble(folder: Path, name: str) -> Path:
    live, workspace = folder / "live", folder / "loaders"
    for each in (live, workspace):
        each.mkdir(exist_ok=True)
    for number, file in enumerate(("vmlinuz", "initrd.img", "rootfs.squashfs", "manifest.json")):
        (live / file).write_bytes(bytes([number]) * (1_000_001 * (number + 1)))
    loaders.collect(loaders.MEDIUM, workspace)
    description = Description(builder="trident-iso test", menu=Menu(label=LABEL))
    texts = {layout.CONFIGURATION: b"os: {}\n"}
    content = build.Content(description, texts, (), live, build.Trust(KEY))
    build.assemble(content, workspace, folder / name)
    return folder / name


def fenced(guide: Path) -> list[tuple[str, str]]:
    """The code blocks of a guide: their language and text."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", guide.read_text(), re.DOTALL | re.MULTILINE)


def test_sgdisk_finds_no_fault_in_the_partition_table(iso: Path) -> None:
    said = run(["sgdisk", "--verify", iso]).stdout
    assert "No problems found" in said
    assert not re.search("problem[^s]|warning|caution", said, re.IGNORECASE)


def test_xorriso_finds_both_boot_images_and_a_sound_system_area(iso: Path) -> None:
    reports = ["-report_el_torito", "plain", "-report_system_area", "plain"]
    result = run(["xorriso", "-indev", iso, *reports])
    text = result.stdout + result.stderr
    lines = [" ".join(line.split()) for line in text.splitlines()]
    esp = filesystem.places(iso, [layout.EFI_IMAGE])[layout.EFI_IMAGE]
    assert f"Volume id : '{LABEL}'" in lines
    assert "El Torito img path : 1 /boot/isolinux/isolinux.bin" in lines
    assert "El Torito img opts : 1 boot-info-table isohybrid-suitable" in lines
    assert "El Torito img path : 2 /boot/efi.img" in lines
    assert "System area summary: MBR isohybrid cyl-align-off GPT" in lines
    assert f"GPT start and size : 1 {esp.offset // 512} {esp.size // 512}" in lines
    assert "GPT partition path : 1 /boot/efi.img" in lines
    assert not re.search("wrong|differ|WARNING|FAILURE|SORRY", text)


def test_the_partition_holds_the_signed_loaders(iso: Path) -> None:
    esp = filesystem.places(iso, [layout.EFI_IMAGE])[layout.EFI_IMAGE]
    listing = run(["mdir", "-b", "-/", "-i", f"{iso}@@{esp.offset}", "::"]).stdout.lower()
    for name in ("efi/boot/bootx64.efi", "efi/boot/grubx64.efi", "efi/boot/grub.cfg"):
        assert f"::/{name}" in listing


def test_the_medium_says_that_it_is_no_debian_installer(iso: Path) -> None:
    assert filesystem.places(iso, [".disk/info"]) == {}


def test_the_same_inputs_make_the_same_image(iso: Path, tmp_path: Path) -> None:
    assert assemble(tmp_path, "again.iso").read_bytes() == iso.read_bytes()


def test_the_lists_cover_the_whole_image_its_partition_tables_included(
    iso: Path, tmp_path: Path
) -> None:
    assert verify.verify(iso, KEY.public).findings == ()
    copy = tmp_path / "copy.iso"
    copy.write_bytes(iso.read_bytes())
    last = copy.stat().st_size - 1
    for offset in (3, 446, 520, 1100, last, last - 400, last - 16_000):
        with copy.open("r+b") as stream:
            stream.seek(offset)
            (byte,) = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte ^ 1]))
        (finding,) = verify.verify(copy, None).findings
        assert finding.name == verify.FRAME
        with copy.open("r+b") as stream:
            stream.seek(offset)
            stream.write(bytes([byte]))


def test_the_commands_on_trust_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Builds the servicing image set unless it is in the cache; what needs a lock is left out."""
    (text,) = (body for info, body in fenced(GUIDE) if info == "yaml")
    (tmp_path / "node7.yaml").write_text(
        text.replace("file:///run/trident/medium/images/os.cosi", "http://192.0.2.1/os.cosi")
    )
    monkeypatch.chdir(tmp_path)
    blocks = [(info, body) for info, body in fenced(TRUST_GUIDE) if "--lock" not in body]
    lines = [line for info, body in blocks if not info for line in body.splitlines()]
    compared = [line for line in lines if line.startswith("trident-iso diff")]
    assert (len(lines), len(compared)) == (8, 2)
    for line in lines:
        if line not in compared:
            assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    shutil.copytree("set", "again")
    said = [main(shlex.split(line)[1:]) for line in compared]
    assert said == [0, 2]
    for info, body in blocks:
        if info == "sh":
            run(["sh", "-ec", body])


def test_the_commands_of_the_guide_work(
    iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Builds the servicing image set unless it is in the cache."""
    blocks = fenced(GUIDE)
    (configuration,) = (text for info, text in blocks if info == "yaml")
    commands = [
        shlex.split(line) for info, text in blocks if not info for line in text.splitlines()
    ]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "os.cosi").write_bytes(cosi_bytes())
    for name in ("node1.yaml", "node2.yaml", "node7.yaml"):
        (tmp_path / name).write_text(configuration)
    Path("check.sh").write_text("#!/bin/sh\n")
    Path("netplan.yaml").write_text("network: {version: 2, ethernets: {e: {dhcp4: true}}}\n")
    Path("tool").write_bytes(b"\x7fELF")
    authority(tmp_path, "127.0.0.1").certificate.rename("site-ca.pem")
    head = f"#{'0a' * 32}:/etc/trident/config.yaml:"
    (tmp_path / "upstream.iso").write_text("before\n" + head + "#" * 4000 + "\nafter\n")
    assert len(commands) == 12
    for _, *words in commands:
        assert main(words) == 0, capsys.readouterr().err
    assert Path("pristine.iso").read_bytes() == Path("blank.iso").read_bytes()
    assert Path("node7.iso").read_bytes() != Path("blank.iso").read_bytes()
    assert configuration in Path("node1-upstream.iso").read_text()
    assert "No problems found" in run(["sgdisk", "--verify", "node7.iso"]).stdout


def test_the_boot_image_of_another_second_is_the_same(tmp_path: Path) -> None:
    """FAT tells times in steps of two seconds."""
    content = tmp_path / "file"
    content.write_bytes(b"loader")
    images = []
    for number in range(2):
        efi.write(tmp_path / f"{number}", {"EFI/BOOT/A.EFI": content}, volume="0a1b2c3d", time_s=0)
        images.append((tmp_path / f"{number}").read_bytes())
        time.sleep(2.1 if number == 0 else 0)
    assert images[0] == images[1]
    assert b"\x3d\x2c\x1b\x0a" in images[0][:512]
