"""What is on a powered-off machine's disk and in its NVRAM, read on the host without mounting.

Partitions are copied out of the image: file system checks may repair the copy (a power cut leaves
journals to be replayed). Names of partitions and of the datastore are those of the lab's own Host
Configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from agent.linux.run import run
from lab import firmware
from lab.errors import LabError

ESP, STATE = "esp", "trident"
DATASTORE = "datastore.sqlite"
_MIB = 1 << 20
_SECTOR = 512
_E2FSCK_OK = (0, 1)
_FSCK_VFAT_OK = (0, 1)
_TOLD = 160


@dataclass(frozen=True)
class Found:
    """What a power cut left."""

    servicing_state: str
    """Of the last row of the datastore; or what is wrong with it."""
    active: str | None
    boot_next: str | None
    """Title of the entry that BootNext names."""
    boot_order: tuple[str, ...]
    """Titles of the systems' own entries, in BootOrder."""
    esp: tuple[str, ...]
    """Files of the EFI system partition: `path size digest`."""
    esp_check: str
    """`clean`, `repairable: ...` or `broken: ...`, from fsck.vfat."""

    @property
    def combination(self) -> str:
        """A short name of this state of datastore, ESP and NVRAM: equal states, equal names."""
        told = {key: value for key, value in asdict(self).items() if key != "esp_check"}
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]

    @property
    def unsound(self) -> str | None:
        """What is damaged; None when nothing is."""
        if self.servicing_state.startswith(("damaged", "no datastore")):
            return f"the datastore: {self.servicing_state}"
        return f"the ESP: {self.esp_check}" if self.esp_check.startswith("broken") else None

    def to_json(self) -> dict[str, Any]:
        return {
            "servicingState": self.servicing_state,
            "active": self.active,
            "bootNext": self.boot_next,
            "bootOrder": list(self.boot_order),
            "esp": list(self.esp),
            "espCheck": self.esp_check,
            "combination": self.combination,
        }


def examine(image: Path, nvram: Path, form: str = "qcow2") -> Found:
    """Read a disk image of that format and an NVRAM file. Raises LabError, TridentError."""
    boot = firmware.read_nvram(nvram)
    titles = {entry.number: entry.title for entry in boot.entries}
    with TemporaryDirectory(prefix="trident-lab-") as name:
        disk = _Disk(image, form, Path(name))
        with disk.partition(STATE) as state:
            servicing, active = _datastore(state, disk.scratch)
        with disk.partition(ESP) as esp:
            check = _esp_check(esp)
            files = tuple(_esp_files(esp, disk.scratch / "files"))
    return Found(
        servicing_state=servicing,
        active=active,
        boot_next=None if boot.boot_next is None else titles.get(boot.boot_next, "?"),
        boot_order=tuple(one.title for one in boot.ordered() if one.title.startswith("AZL")),
        esp=files,
        esp_check=check,
    )


def extents(image: Path, form: str = "qcow2") -> dict[str, tuple[int, int]]:
    """Start and size in bytes of every named partition."""
    with TemporaryDirectory(prefix="trident-lab-") as name:
        return _Disk(image, form, Path(name)).extents()


@dataclass(frozen=True)
class _Disk:
    """A disk image and a folder for what is copied out of it."""

    image: Path
    form: str
    scratch: Path

    @contextmanager
    def partition(self, label: str) -> Iterator[Path]:
        """A copy of the partition with this name, for the length of the block."""
        known = self.extents()
        if label not in known:
            raise LabError(f"{self.image} has no partition named {label}")
        target = self.scratch / label
        self._copy_out(target, *known[label])
        try:
            yield target
        finally:
            target.unlink()

    def extents(self) -> dict[str, tuple[int, int]]:
        """By the primary partition table."""
        head = self.scratch / "head"
        self._copy_out(head, 0, _MIB)
        told = json.loads(run(["qemu-img", "info", "-U", "--output=json", str(self.image)]).stdout)
        os.truncate(head, told["virtual-size"])
        table = json.loads(run(["sfdisk", "-J", str(head)]).stdout)["partitiontable"]
        return {
            one.get("name", ""): (one["start"] * _SECTOR, one["size"] * _SECTOR)
            for one in table["partitions"]
        }

    def _copy_out(self, target: Path, start: int, size: int) -> None:
        """Copy an extent (bytes) of the image into a raw file."""
        disk = {"driver": self.form, "file": {"driver": "file", "filename": str(self.image)}}
        extent = {"driver": "raw", "offset": start, "size": size, "file": disk}
        run(["qemu-img", "convert", "-U", "-O", "raw", "json:" + json.dumps(extent), str(target)])


def _esp_check(esp: Path) -> str:
    """What fsck.vfat says; the copy is repaired if it can be."""
    first = run(["fsck.vfat", "-n", str(esp)], ok=_FSCK_VFAT_OK)
    if first.returncode == 0:
        return "clean"
    run(["fsck.vfat", "-a", str(esp)], ok=_FSCK_VFAT_OK)
    again = run(["fsck.vfat", "-n", str(esp)], ok=_FSCK_VFAT_OK)
    # before the findings: its version, and that the boot sector's copy lacks the dirty bit
    findings = first.stdout.partition("\n")[2].rpartition("Not automatically fixing this.")[2]
    told = " ".join(findings.partition("\nLeaving filesystem")[0].split())[:_TOLD]
    return f"{'repairable' if again.returncode == 0 else 'broken'}: {told}"


def _datastore(state: Path, scratch: Path) -> tuple[str, str | None]:
    """Servicing state and active side of the last row; the file system's journal is replayed."""
    run(["e2fsck", "-fy", str(state)], ok=_E2FSCK_OK)
    copy = scratch / DATASTORE
    for name in (DATASTORE, f"{DATASTORE}-journal"):
        run(["debugfs", "-R", f"dump /{name} {scratch / name}", str(state)])
    if not copy.exists() or copy.stat().st_size == 0:
        return "no datastore", None
    try:
        with closing(sqlite3.connect(copy)) as database:
            (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
            row = database.execute(
                "SELECT contents FROM hoststatus ORDER BY id DESC LIMIT 1"
            ).fetchone()
    except sqlite3.DatabaseError as error:
        return f"damaged: {error}", None
    if integrity != "ok" or row is None:
        return f"damaged: {integrity if row else 'no row'}", None
    status = yaml.safe_load(row[0])
    return status["servicingState"], status.get("abActiveVolume")


def _esp_files(esp: Path, folder: Path) -> Iterator[str]:
    folder.mkdir()
    run(["mcopy", "-s", "-n", "-i", str(esp), "::", str(folder)])
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
            yield f"{path.relative_to(folder)} {path.stat().st_size} {digest}"
