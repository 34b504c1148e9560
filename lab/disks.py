"""Disk images of virtual machines, and snapshots of an installed machine's disks and NVRAM."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from agent.linux.run import run
from lab import qemu, scenario
from lab.errors import LabError

_CONVERT_LIMIT_S = 600.0
MIB = 1 << 20


def create(spec: scenario.Disk, folder: Path, os_disk: Path | None, snapshots: Path) -> qemu.Disk:
    """Make the image of one disk in `folder`.

    `os_disk` is the raw disk for `content: os`. Raises LabError for a missing snapshot.
    """
    if spec.snapshot is not None:
        image = folder / f"{spec.serial}.qcow2"
        _overlay(snapshots / spec.snapshot / image.name, image)
        log = folder / f"{spec.serial}.writes" if spec.log_writes else None
        if log is not None:
            log.touch()
        return qemu.Disk(image, spec.serial, spec.bus, "qcow2", write_log=log)
    image = folder / f"{spec.serial}.raw"
    if spec.content is scenario.DiskContent.OS:
        if os_disk is None:
            raise LabError(f"disk {spec.serial} wants an OS, but the scenario has no 'image'")
        run(["cp", "--sparse=always", os_disk, image])
    with image.open("ab"):
        os.truncate(image, spec.size_mib * MIB)
    return qemu.Disk(image, spec.serial, spec.bus, "raw")


def sha384(path: Path) -> str:
    """SHA-384 of a raw disk image, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha384").hexdigest()


def keep(disks: tuple[qemu.Disk, ...], nvram: Path, folder: Path) -> None:
    """Keep the disks (as qcow2) and NVRAM of a powered-off machine in `folder`."""
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for disk in disks:
        target = fresh / f"{disk.serial}.qcow2"
        formats = ["-f", disk.format, "-O", "qcow2"]
        run(
            ["qemu-img", "convert", *formats, str(disk.image), str(target)],
            timeout_s=_CONVERT_LIMIT_S,
        )
    if nvram.exists():
        shutil.copyfile(nvram, fresh / "nvram.fd")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)


def _overlay(base: Path, image: Path) -> None:
    if not base.exists():
        raise LabError(
            f"there is no snapshot {base}", hint="run the scenario whose snapshot step makes it"
        )
    run(["qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", base.resolve(), image])
