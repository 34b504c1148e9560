"""Identifiers of FAT file systems (mtools). The file system must not be mounted."""

from __future__ import annotations

from pathlib import Path

from agent.linux.run import run

ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "MTOOLS_NO_VFAT": "0"}


def set_volume_id(device: Path, volume_id: str) -> None:
    """Give the file system another volume ID, written as Linux does: `ABCD-1234`."""
    serial = volume_id.replace("-", "")
    run(["mlabel", "-N", serial, "-i", device, "::"], env=ENVIRONMENT)
