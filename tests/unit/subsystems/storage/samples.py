"""A configuration, disks and an image's metadata to decide about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.api import load
from agent.api.hostconfig import HostConfiguration
from agent.cosi.metadata import CosiMetadata
from agent.linux.block import BlockDevice

GIB = 1 << 30
MIB = 1 << 20
ROOT_TYPE = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

CONFIGURATION = """
storage:
  disks:
  - id: os
    device: /dev/sda
    partitionTableType: gpt
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: root-a, type: root, size: 1G, uuid: 21111111-1111-4111-8111-111111111111}
    - {id: root-b, type: root, size: 1G}
    - {id: swap, type: swap, size: 512M}
    - {id: trident, size: 64M, label: Trident data}
    - {id: srv, size: grow}
  abUpdate:
    volumePairs:
    - {id: root, volumeAId: root-a, volumeBId: root-b}
  filesystems:
  - {deviceId: esp, mountPoint: {path: /boot/efi, options: umask=0077}}
  - {deviceId: root, mountPoint: /}
  - {deviceId: trident, source: new, mountPoint: /var/lib/trident}
  - {deviceId: srv, source: new, type: xfs}
  - {source: new, type: tmpfs, mountPoint: {path: /scratch, options: size=1M}}
  swap: [swap]
"""


def configuration(text: str = CONFIGURATION) -> HostConfiguration:
    return load.load(text)


def disk(path: str = "/dev/sda", size_bytes: int = 8 * GIB, **other: Any) -> BlockDevice:
    facts: dict[str, Any] = {
        "path": Path(path),
        "kernel_name": Path(path).name,
        "type": "disk",
        "size_bytes": size_bytes,
        "sector_bytes": 512,
        "read_only": False,
        "removable": False,
    }
    return BlockDevice(**(facts | other))


def metadata(**other: Any) -> CosiMetadata:
    document: dict[str, Any] = {
        "version": "1.1",
        "osArch": "x86_64",
        "osRelease": "ID=debian\n",
        "images": [
            image("/boot/efi", "vfat", "C3D4-250D", ESP_TYPE),
            image("/", "ext4", "88d2fa9b-7a32-450a-a9f8-aa9c3de79298", ROOT_TYPE),
        ],
        "osPackages": [],
        "bootloader": {"type": "grub"},
    }
    return CosiMetadata.model_validate(document | other, strict=False)


def image(
    mount_point: str, fs_type: str, fs_uuid: str, part_type: str, size_bytes: int = 512 * MIB
) -> dict[str, Any]:
    return {
        "image": {
            "path": f"images/{part_type}.zst",
            "compressedSize": 1000,
            "uncompressedSize": size_bytes,
            "sha384": "0" * 96,
        },
        "mountPoint": mount_point,
        "fsType": fs_type,
        "fsUuid": fs_uuid,
        "partType": part_type,
    }
