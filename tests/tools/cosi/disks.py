"""Raw disk images with real file systems, made by the host's own tools without mounting any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from agent.linux.run import run
from tests.unit.cosi.images import uki_bytes

ROOT_UUID = "6d3c1f0a-8d53-4c1b-9b1e-0f4a5c7e2d11"
ESP_ID = "C3D4-250D"
DISK_BYTES = 192 * 2**20
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="A test"\n'
DPKG_STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Description: shell
 with more lines: like this

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0-1

Package: base-files
Status: install ok installed
Architecture: amd64
Version: 12.4+deb12u5

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2024a-0+deb12u1
"""


def root_tree(folder: Path, *, grub: bool) -> Path:
    """The files of a small root file system."""
    for name in ("etc", "usr/lib", "var/lib/dpkg", "boot/grub", "home"):
        (folder / name).mkdir(parents=True)
    (folder / "usr/lib/os-release").write_text(OS_RELEASE)
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    (folder / "var/lib/dpkg/status").write_text(DPKG_STATUS)
    (folder / "etc/fstab").write_text(
        f"# comment\nUUID={ROOT_UUID} / ext4 defaults 0 1\nUUID={ESP_ID} /efi vfat umask=77 0 2\n"
    )
    (folder / "home/data").write_bytes(bytes(range(256)) * 4096 * 8)
    if grub:
        (folder / "boot/grub/grub.cfg").write_text("menuentry x {}\n")
    return folder


def raw_disk(workspace: Path, *, grub: bool = False, sector: int = 512) -> Path:
    """A GPT disk: ESP (number 1), swap (number 3, placed second) and root (number 2)."""
    tree = root_tree(workspace / "tree", grub=grub)
    root, esp, disk = workspace / "root.img", workspace / "esp.img", workspace / "disk.raw"
    root.touch()
    run(["truncate", "-s", "128M", root])
    run(["mkfs.ext4", "-q", "-F", "-U", ROOT_UUID, "-d", tree, root])
    run(["truncate", "-s", "36M", esp])
    run(["mkfs.vfat", "-i", ESP_ID.replace("-", ""), "-S", str(sector), esp])
    if not grub:
        uki = workspace / "linux.efi"
        uki.write_bytes(uki_bytes("root=UUID=x ro quiet", "6.1.0-18-amd64", OS_RELEASE))
        run(["mmd", "-i", esp, "::/EFI", "::/EFI/Linux"])
        run(["mcopy", "-i", esp, uki, "::/EFI/Linux/Debian 12.efi"])
    mebibyte = 2**20 // sector
    table = (
        "label: gpt\n"
        f"1: start={mebibyte}, size={36 * mebibyte}, type=uefi, name=esp\n"
        f"3: start={37 * mebibyte}, size={4 * mebibyte}, type=swap\n"
        f"2: start={41 * mebibyte}, size={128 * mebibyte}, "
        "type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=root\n"
    )
    disk.touch()
    run(["truncate", "-s", str(DISK_BYTES), disk])
    attach = ["losetup", "--find", "--show", "--sector-size", str(sector), str(disk)]
    device = run(attach).stdout.strip()
    try:
        run(["sfdisk", "--quiet", "--no-reread", device], stdin=table.encode())
    finally:
        run(["losetup", "--detach", device])
    with disk.open("r+b") as out:
        for at, image in ((1, esp), (41, root)):
            out.seek(at * 2**20)
            out.write(image.read_bytes())
    return disk


@dataclass(frozen=True)
class Part:
    """A partition to be: what it holds, its type and, where it matters, its GUID."""

    image: Path
    type: str
    guid: UUID | None = None
    name: str = ""


ESP, ROOT, ROOT_VERITY, USR, USR_VERITY, LINUX, XBOOTLDR = (
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
    "8484680c-9521-48c6-9c11-b0720656f69e",
    "77ff5f63-e7b6-4633-acf4-1565b864c0e6",
    "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172",
)


def gpt_disk(disk: Path, parts: Sequence[Part]) -> Path:
    """A disk of these partitions, one after the other, each rounded up to whole MiB."""
    at, lines, places = 1, ["label: gpt", "label-id: 11111111-2222-3333-4444-555555555555"], []
    for index, part in enumerate(parts, 1):
        size = -(-part.image.stat().st_size // 2**20)
        guid = part.guid or UUID(int=0xABC0 + index)
        line = f"start={at * 2048}, size={size * 2048}, type={part.type}, uuid={guid}"
        lines.append(f'{line}, name="{part.name}"')
        places.append((at * 2**20, part.image))
        at += size
    with disk.open("wb") as out:
        out.truncate((at + 1) * 2**20)
    run(["sfdisk", "--quiet", disk], stdin="\n".join(lines).encode())
    for start, image in places:
        copy = ["dd", f"if={image}", f"of={disk}", "bs=1M", f"seek={start >> 20}"]
        run([*copy, "conv=notrunc,sparse", "status=none"])
    return disk


def seal(data: Path, tree: Path) -> str:
    """Write the verity hash tree of `data` to the new file `tree`; the root hash."""
    with tree.open("wb") as out:
        out.truncate(2**20)
    options = ["--salt", "abcd", "--uuid", "11111111-1111-1111-1111-111111111111"]
    text = run(["veritysetup", "format", *options, data, tree]).stdout
    return next(line.split()[-1] for line in text.splitlines() if line.startswith("Root hash"))
