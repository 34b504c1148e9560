"""The EFI boot image of a medium: FAT with signed shim and signed GRUB, by mkfs.vfat and mtools.

UEFI starts EFI/BOOT/BOOTX64.EFI (UEFI 2.10, 3.5.1.1), whether El Torito or the partition table
led it here. shim starts grubx64.efi beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.api.errors import context
from agent.linux import run

_CLUSTER = 4096
_SPARE_BYTES = 1 << 18
_STEP = 1 << 20


def write(target: Path, files: Mapping[str, Path], *, volume: str, time_s: int) -> None:
    """Write the image; `files` maps paths in it to host files, `volume` is its ID (8 hex digits).

    Raises missing-binary, servicing/command-failed.
    """
    used = sum(-(-path.stat().st_size // _CLUSTER) * _CLUSTER for path in files.values())
    size = -(-(used + _SPARE_BYTES) // _STEP) * _STEP
    clock = {"SOURCE_DATE_EPOCH": str(time_s), "TZ": "UTC"}
    with target.open("wb") as image:
        image.truncate(size)
    with context("writing the EFI boot image"):
        # --invariant: the label has a date, for which dosfstools 4.2 ask the clock otherwise.
        command = ["mkfs.vfat", "--invariant", "-i", volume, "-n", "TRIDENT", str(target)]
        run.run(command, env=clock)
        folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for folder in sorted(folders):
            run.run(["mmd", "-i", target, f"::{folder}"], env=clock)
        for name, source in sorted(files.items()):
            run.run(["mcopy", "-i", target, source, f"::{name}"], env=clock)
