"""The part of a Host Configuration that the drivers with disks of files share."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def image_and_storage(work: Path) -> dict[str, Any]:
    """A machine with A/B roots of 32 MiB, whose disks are files; the image is in `work`."""

    def partition(id: str, type: str) -> dict[str, Any]:
        return {"id": id, "type": type, "size": "32M"}

    return {
        "image": {"url": f"file://{work}/image.cosi", "sha384": "ignored"},
        "storage": {
            "disks": [
                {
                    "id": "os",
                    "device": "/dev/vdz",
                    "partitionTableType": "gpt",
                    "partitions": [
                        partition("esp", "esp"),
                        partition("root-a", "root"),
                        partition("root-b", "root"),
                        partition("trident", "linux-generic"),
                    ],
                }
            ],
            "abUpdate": {
                "volumePairs": [{"id": "root", "volumeAId": "root-a", "volumeBId": "root-b"}]
            },
            "filesystems": [
                {"deviceId": "esp", "mountPoint": "/boot/efi"},
                {"deviceId": "root", "mountPoint": "/"},
                {"deviceId": "trident", "source": "new", "mountPoint": "/var/lib/trident"},
            ],
        },
    }
