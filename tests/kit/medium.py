"""A small medium and what can be embedded into it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from agent.api import yamltext
from agent.medium import layout
from agent.medium.description import Description
from agent.medium.menu import Menu
from iso_builder.medium import build, filesystem, seal
from iso_builder.medium.build import Trust
from iso_builder.medium.filesystem import Entry
from tests.unit.cosi.images import cosi_bytes

LABEL = "TRIDENT_0123456789AB"
IMAGE = "os.cosi"


def cosi(folder: Path) -> Path:
    path = folder / IMAGE
    path.write_bytes(cosi_bytes())
    return path


def configuration(
    folder: Path, name: str = "config.yaml", *, root_size: str = "1G", **changes: Any
) -> Path:
    """A Host Configuration that fits the image of `cosi`."""
    document: dict[str, Any] = {
        "image": {"url": layout.image_url(IMAGE), "sha384": "ignored"},
        "storage": {
            "disks": [
                {
                    "id": "os",
                    "device": "/dev/sda",
                    "partitionTableType": "gpt",
                    "partitions": [
                        {"id": "esp", "type": "esp", "size": "64M"},
                        {"id": "root", "type": "root", "size": root_size},
                    ],
                }
            ],
            "filesystems": [
                {"deviceId": "esp", "mountPoint": "/boot/efi"},
                {"deviceId": "root", "mountPoint": "/"},
            ],
        },
    }
    path = folder / name
    path.write_text(yamltext.dump(document | changes))
    return path


def image_of(url: str, sha384: str = "ignored") -> dict[str, str]:
    return {"url": url, "sha384": sha384}


def medium(
    folder: Path, menu: Menu | None = None, *, trust: Trust | None = None, **images: str
) -> Path:
    """The files of a medium that customizing looks at, and room for others, in an ISO image."""
    description = Description(
        builder="trident-iso test",
        menu=menu or Menu(label=LABEL),
        images={name.replace("_", "."): digest for name, digest in images.items()},
    )
    trust = trust or Trust()
    content = build.Content(description, {}, (), folder, trust)
    for name in ("manifest.json", "rootfs.squashfs"):
        if not (folder / name).exists():
            (folder / name).write_bytes(hashlib.sha256(name.encode()).digest() * 1000)
    entries = [
        Entry(layout.EFI_IMAGE, bytes(4096)),
        Entry(layout.ISOLINUX, bytes(4096)),
        *build.menu_entries(description),
        *build.trident_entries(content),
        Entry(f"{layout.IMAGES}/{IMAGE}", cosi_bytes()),
    ]
    entries += seal.room(entries, layout.CATALOGUE, signed=trust.key is not None)
    target = folder / "medium.iso"
    filesystem.write(target, description.menu.label, entries, build.BOOT, time_s=1_700_000_000)
    seal.write(target, trust.key, unsigned_changes=trust.unsigned_changes)
    return target
