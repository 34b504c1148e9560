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
    """What fsck.vfat said: `clean`, or its complaint."""

    @property
    def combination(self) -> str:
        """A short name of this state of datastore, ESP and NVRAM: equal states, equal names."""
        told = {key: value for key, value in asdict(self).items() if key != "esp_check"}
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]

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


def examine(image: Path, nvram: Path) -> Found:
    """Read a disk image (qcow2) and an NVRAM file. Raises LabError, TridentError."""
    boot = firmware.read_nvram(nvram)
    titles = {entry.number: entry.title for entry in boot.entries}
    with TemporaryDirectory(prefix="trident-lab-") as name:
        scratch = Path(name)
        with _partition(image, STATE, scratch) as state:
            servicing, active = _datastore(state, scratch)
        with _partition(image, ESP, scratch) as esp:
            check = run(["fsck.vfat", "-n", str(esp)], ok=_FSCK_VFAT_OK)
            files = tuple(_esp_files(esp, scratch / "files"))
    return Found(
        servicing_state=servicing,
        active=active,
        boot_next=None if boot.boot_next is None else titles.get(boot.boot_next, "?"),
        boot_order=tuple(one.title for one in boot.ordered() if one.title.startswith("AZL")),
        esp=files,
        esp_check="clean" if check.returncode == 0 else " ".join(check.stdout.split())[-200:],
    )


@contextmanager
def _partition(image: Path, label: str, scratch: Path) -> Iterator[Path]:
    """A copy of the partition with this name, for the length of the block."""
    start, size = _extent(image, label, scratch)
    target = scratch / label
    _copy_out(image, target, start, size)
    try:
        yield target
    finally:
        target.unlink()


def _extent(image: Path, label: str, scratch: Path) -> tuple[int, int]:
    """Start and size in bytes of a partition, from the primary table."""
    head = scratch / "head"
    _copy_out(image, head, 0, _MIB)
    told = json.loads(run(["qemu-img", "info", "-U", "--output=json", str(image)]).stdout)
    os.truncate(head, told["virtual-size"])
    table = json.loads(run(["sfdisk", "-J", str(head)]).stdout)["partitiontable"]
    for partition in table["partitions"]:
        if partition.get("name") == label:
            return partition["start"] * _SECTOR, partition["size"] * _SECTOR
    raise LabError(f"{image} has no partition named {label}")


def _copy_out(image: Path, target: Path, start: int, size: int) -> None:
    """Copy an extent (bytes) of a qcow2 image into a raw file."""
    disk = {"driver": "qcow2", "file": {"driver": "file", "filename": str(image)}}
    extent = {"driver": "raw", "offset": start, "size": size, "file": disk}
    run(["qemu-img", "convert", "-U", "-O", "raw", "json:" + json.dumps(extent), str(target)])


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
