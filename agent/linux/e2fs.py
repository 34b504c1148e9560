"""Checking, growing and shrinking ext2/3/4 file systems, and their UUIDs (e2fsprogs)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.linux import json_output
from agent.linux.run import run

_CLEAN, _REPAIRED, _ERRORS_LEFT = 0, 1, 4
_UNANSWERED = "? no"
_SHOWN_CHARACTERS = 1024
_TIMEOUT_S = 3600.0
_SUPERBLOCK = 1024
_S_WTIME = 0x30


@dataclass(frozen=True)
class Superblock:
    """The facts of an ext file system that sizing needs."""

    uuid: str
    block_bytes: int
    blocks: int

    @property
    def size_bytes(self) -> int:
        return self.block_bytes * self.blocks


def check(device: Path) -> bool:
    """Check and repair the whole unmounted file system; True when something was repaired.

    Raises command-failed when errors are left (exit status 2 and above of e2fsck).
    """
    return _check(device, {})


def complaint(device: Path) -> str | None:
    """What is wrong with a file system that is not mounted for writing; None when nothing is.

    Changes nothing. Raises command-failed when it cannot be checked.
    """
    result = run(["e2fsck", "-f", "-n", device], ok=(_CLEAN, _ERRORS_LEFT), timeout_s=_TIMEOUT_S)
    if result.returncode == _CLEAN:
        return None
    found = [line for line in result.stdout.splitlines() if line.endswith(_UNANSWERED)]
    return "; ".join(found)[:_SHOWN_CHARACTERS] or result.stdout[-_SHOWN_CHARACTERS:].strip()


def grow(device: Path) -> None:
    """Grow the file system to the size of its device. Needs a `check` just before."""
    run(["resize2fs", device], timeout_s=_TIMEOUT_S)


def shrink(image: Path) -> bool:
    """Shrink the file system in a regular file as far as it goes, and the file with it.

    True when something was repaired first.

    What is free inside becomes holes: nothing that was deleted is kept. Every time that is written
    is the file system's own last one, so that the same input gives the same bytes.
    """
    clock = frozen_clock(image)
    repaired = _check(image, clock)
    run(["resize2fs", "-M", image], env=clock, timeout_s=_TIMEOUT_S)
    os.truncate(image, superblock(image).size_bytes)
    _check(image, clock, "-E", "discard")
    return repaired


def set_uuid(image: Path, uuid: str) -> None:
    """Give the unmounted file system another UUID; it is checked and repaired first."""
    clock = frozen_clock(image)
    _check(image, clock)
    run(["tune2fs", "-U", uuid, image], env=clock, timeout_s=_TIMEOUT_S)


def frozen_clock(image: Path) -> Mapping[str, str]:
    """The environment that makes the tools write the time of the file system's last write."""
    with image.open("rb") as source:
        source.seek(_SUPERBLOCK + _S_WTIME)
        time_s = str(int.from_bytes(source.read(4), "little"))
    return {"E2FSPROGS_FAKE_TIME": time_s, "E2FSCK_TIME": time_s}


def _check(image: Path, clock: Mapping[str, str], *options: str) -> bool:
    argv: list[str | Path] = ["e2fsck", "-f", "-y", *options, image]
    result = run(argv, ok=(_CLEAN, _REPAIRED), env=clock, timeout_s=_TIMEOUT_S)
    return result.returncode == _REPAIRED


def superblock(device: Path) -> Superblock:
    """Read the superblock of `device`."""
    return parse(run(["dumpe2fs", "-h", device]).stdout)


def parse(text: str) -> Superblock:
    """The superblock in `dumpe2fs -h` output."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            values[name.strip()] = value.strip()
    try:
        return Superblock(
            uuid=values["Filesystem UUID"],
            block_bytes=int(values["Block size"]),
            blocks=int(values["Block count"]),
        )
    except (KeyError, ValueError) as error:
        raise json_output.unexpected("dumpe2fs", str(error)) from error
