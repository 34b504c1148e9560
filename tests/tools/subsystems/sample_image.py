"""A small OS image with real file systems, made on the spot: an ESP, and an ext4 root.

The boot programs are only bytes with a name; nothing here is started. Needs a kernel with vfat.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.cosi import writer
from agent.cosi.writer import Region
from agent.linux import loop, mounts
from agent.linux.run import run

ROOT_UUID = "88d2fa9b-7a32-450a-a9f8-aa9c3de79298"
OLD_UUID = "1adc13e8-f140-4109-9eee-bd8e1efe96b8"
GRUB_CFG = f"search --no-floppy --fs-uuid --set=root {OLD_UUID}\nconfigfile /boot/grub/grub.cfg\n"
GRUB_ESP = {
    "EFI/BOOT/BOOTX64.EFI": b"shim" * 3000,
    "EFI/BOOT/grubx64.efi": b"signed grub" * 9000,
    "EFI/BOOT/grub.cfg": GRUB_CFG.encode(),
}
UKI_ESP = {
    "EFI/BOOT/BOOTX64.EFI": b"systemd-boot" * 900,
    "EFI/Linux/sample-1.efi": b"unified kernel image" * 60_000,
    "EFI/Linux/sample-1.efi.extra.d/site.addon.efi": b"addon" * 100,
}
_MIB = 1 << 20
_ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_ROOT_TYPE = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"


def build(directory: Path, esp_files: dict[str, bytes], *, uki: bool) -> Path:
    """A COSI file below `directory`; the root file system has 128 MiB."""
    esp = _esp(directory, esp_files)
    root = _root(directory)
    parts = {"images/esp.zst": esp, "images/root.zst": root}
    described = {}
    members = []
    for name, file in parts.items():
        packed = directory / Path(name).name
        made = writer.compress(Region(file, 0, file.stat().st_size), packed, level=1)
        described[name] = {
            "path": name,
            "compressedSize": made.compressed_size,
            "uncompressedSize": made.uncompressed_size,
            "sha384": made.sha384,
        }
        members.append((name, packed))
    target = directory / "sample.cosi"
    writer.assemble(target, json.dumps(_metadata(described, uki=uki)).encode(), members)
    return target


def _esp(directory: Path, esp_files: dict[str, bytes]) -> Path:
    image = directory / "esp.img"
    with image.open("wb") as file:
        file.truncate(16 * _MIB)
    run(["mkfs.vfat", image])
    with loop.attached(image) as device, mounts.mounted(device, directory / "esp") as mounted:
        for name, content in esp_files.items():
            (mounted / name).parent.mkdir(parents=True, exist_ok=True)
            (mounted / name).write_bytes(content)
    return image


def _root(directory: Path) -> Path:
    tree = directory / "root"
    for name in (
        "etc",
        "boot/efi",
        "var/tmp",
        "var/lib/trident",
        "tmp",
        "run",
        "dev",
        "proc",
        "sys",
    ):
        (tree / name).mkdir(parents=True)
    (tree / "etc/fstab").write_text("/dev/old / ext4 defaults 0 1\n")
    (tree / "etc/os-release").write_text("ID=debian\n")
    image = directory / "root.img"
    run(["mkfs.ext4", "-q", "-F", "-U", ROOT_UUID, "-d", tree, image, "128M"])
    return image


def _metadata(described: dict[str, dict[str, Any]], *, uki: bool) -> dict[str, Any]:
    entry = {
        "type": "uki-standalone",
        "path": "/EFI/Linux/sample-1.efi",
        "cmdline": "",
        "kernel": "",
    }
    systemd_boot = {"type": "systemd-boot", "systemdBoot": {"entries": [entry]}}
    return {
        "version": "1.1",
        "osArch": "x86_64",
        "osRelease": "ID=debian\n",
        "images": [
            {
                "image": described["images/esp.zst"],
                "mountPoint": "/boot/efi",
                "fsType": "vfat",
                "fsUuid": "C3D4-250D",
                "partType": _ESP_TYPE,
            },
            {
                "image": described["images/root.zst"],
                "mountPoint": "/",
                "fsType": "ext4",
                "fsUuid": ROOT_UUID,
                "partType": _ROOT_TYPE,
            },
        ],
        "osPackages": [{"name": "bash", "version": "5.2", "release": "1", "arch": "amd64"}],
        "bootloader": systemd_boot if uki else {"type": "grub"},
    }
