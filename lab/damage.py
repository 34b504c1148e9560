"""Damaged copies of COSI files: one flipped bit, or an end cut off.

A COSI file is an uncompressed tar; its metadata.json says which member holds the root file
system. The damage leaves the metadata as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.scenario import Damage


@dataclass(frozen=True)
class Region:
    """Bytes of a member inside the COSI file."""

    offset: int
    size: int


def root_region(cosi: Path) -> Region:
    """Where the compressed root file system lies in a COSI file. Raises LabError."""
    with tarfile.open(cosi) as archive:
        metadata = json.load(_open(archive, "metadata.json"))
        member = archive.getmember(_root_path(metadata))
        return Region(member.offset_data, member.size)


def damaged_copy(cosi: Path, copy: Path, damage: Damage) -> None:
    """Copy `cosi` to `copy` with the damage done. The copy replaces an older one at once."""
    fresh = copy.with_suffix(".new")
    shutil.copyfile(cosi, fresh)
    if damage.flip_bit_at is not None:
        region = root_region(cosi)
        flip_bit(fresh, region.offset + min(int(region.size * damage.flip_bit_at), region.size - 1))
    if damage.truncate_to is not None:
        os.truncate(fresh, int(cosi.stat().st_size * damage.truncate_to))
    fresh.replace(copy)


def flip_bit(path: Path, offset: int) -> None:
    """Flip the lowest bit of one byte, in place."""
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte[0] ^ 1]))


def _open(archive: tarfile.TarFile, name: str) -> Any:
    stream = archive.extractfile(name)
    if stream is None:
        raise LabError(f"{archive.name!r} holds no {name}")
    return stream


def _root_path(metadata: dict[str, Any]) -> str:
    for image in metadata["images"]:
        if image.get("mountPoint") == "/":
            return str(image["image"]["path"])
    raise LabError("the COSI file's metadata names no root file system")
