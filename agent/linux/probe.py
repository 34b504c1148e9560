"""What is written on a device: `blkid --probe`, which reads the device and not udev's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run

_NOTHING_FOUND, _AMBIVALENT = 2, 8


@dataclass(frozen=True)
class Signature:
    """File system and partition table found on a device; None where there is none."""

    filesystem: str | None = None
    uuid: str | None = None
    """UUID of the file system."""
    label: str | None = None
    version: str | None = None
    block_bytes: int | None = None
    table_type: str | None = None
    table_uuid: str | None = None
    partition_uuid: str | None = None
    """PARTUUID of the partition itself, as the table of its disk says."""


def parse(text: str) -> Signature:
    """The signature in `blkid -o export` output."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    block = pairs.get("BLOCK_SIZE", "")
    return Signature(
        filesystem=pairs.get("TYPE"),
        uuid=pairs.get("UUID"),
        label=pairs.get("LABEL"),
        version=pairs.get("VERSION"),
        block_bytes=int(block) if block.isdecimal() else None,
        table_type=pairs.get("PTTYPE"),
        table_uuid=pairs.get("PTUUID"),
        partition_uuid=pairs.get("PART_ENTRY_UUID"),
    )


def signature(device: Path) -> Signature:
    """What is written on `device`.

    The Signature is empty when blkid recognises nothing, or several things that exclude each other
    (an old image under a newer one).
    """
    result = run(
        ["blkid", "--probe", "--output", "export", device], ok=(0, _NOTHING_FOUND, _AMBIVALENT)
    )
    return parse(result.stdout)
