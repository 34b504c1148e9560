"""Writing the image's file systems to their devices, and growing them to fill them."""

from __future__ import annotations

from pathlib import Path

from agent.cosi.metadata import ImageFile
from agent.cosi.reader import CosiImage
from agent.cosi.stream import Progress, write_image
from agent.linux import block, e2fs

_GROWABLE = ("ext2", "ext3", "ext4")


def grows(filesystem: str, *, read_only: bool) -> bool:
    """Whether a file system of this type is made as large as its device after it was written."""
    return filesystem in _GROWABLE and not read_only


def deploy(
    image: CosiImage,
    file: ImageFile,
    device: Path,
    *,
    grow: bool,
    expected_bytes: int | None,
    progress: Progress,
) -> None:
    """Write `file` to `device` and let the file system fill it when `grow`.

    `expected_bytes` is the size the device was planned with. Destroys what the device held.
    """
    write_image(image, file, device, progress=progress, expected_capacity_bytes=expected_bytes)
    if grow and block.size_bytes(device) > e2fs.superblock(device).size_bytes:
        e2fs.check(device)
        e2fs.grow(device)
