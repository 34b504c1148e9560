"""Which reader reads which file system."""

from __future__ import annotations

from pathlib import Path

from iso_builder.cosi.extfs import ExtFs
from iso_builder.cosi.fatfs import FatFs
from iso_builder.cosi.imagefs import ImageFs
from iso_builder.cosi.xfsfs import XfsFs


def reader(image: Path, filesystem: str) -> ImageFs | None:
    """A reader for the file system type `blkid` named, None when there is none for it."""
    match filesystem:
        case "ext2" | "ext3" | "ext4":
            return ExtFs(image)
        case "vfat":
            return FatFs(image)
        case "xfs":
            return XfsFs(image)
        case _:
            return None
