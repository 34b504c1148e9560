"""Raw disk images with real file systems, made by the host's own tools without mounting any."""

from __future__ import annotations

from pathlib import Path

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
