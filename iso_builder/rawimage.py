"""Writes a raw GPT disk with an ESP and a root file system, without mounting anything.

sfdisk writes the table into the file; mkfs.vfat, mcopy and mke2fs write at offsets inside it.
Identifiers are given, so that the same input makes the same file systems.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from agent.api.errors import context
from agent.api.parttypes import Architecture, PartitionKind, guid
from agent.linux import run

MIB = 1 << 20
_FIRST = MIB
_BACKUP_TABLE = MIB
_NAMESPACE = UUID("6d1f2a9c-3f0e-5f57-9d53-0c6a2f6f4c11")
_MKFS_TIMEOUT_S = 600.0
_SAME_TIME = {"SOURCE_DATE_EPOCH": "1700000000", "TZ": "UTC"}
"""The ESP does not tell when it was made."""


@dataclass(frozen=True)
class Identifiers:
    """Every identifier of one disk image, derived from its name."""

    disk: UUID
    esp_partition: UUID
    root_partition: UUID
    root_filesystem: UUID
    esp_volume: str
    """FAT volume ID, eight hex digits."""

    @classmethod
    def derive(cls, name: str) -> Identifiers:
        """Identifiers of the image called `name`: the same name, the same identifiers."""

        def own(part: str) -> UUID:
            return uuid5(_NAMESPACE, f"{name}/{part}")

        return cls(own("disk"), own("esp"), own("root"), own("rootfs"), own("espfs").hex[:8])

    @property
    def esp_filesystem(self) -> str:
        """The ESP's file system as Linux writes it: `ABCD-1234`."""
        return f"{self.esp_volume[:4]}-{self.esp_volume[4:]}".upper()


@dataclass(frozen=True)
class Geometry:
    """Sizes of the two partitions in bytes, whole MiB."""

    esp_bytes: int
    root_bytes: int

    @property
    def root_start(self) -> int:
        return _FIRST + self.esp_bytes

    @property
    def disk_bytes(self) -> int:
        return self.root_start + self.root_bytes + _BACKUP_TABLE


def root_bytes_for(tree: Path, *, spare_bytes: int) -> int:
    """Whole MiB that hold a tree in ext4 with `spare_bytes` left over."""
    used = count = 0
    for folder, names, files in os.walk(tree):
        for name in (*names, *files):
            size = os.lstat(Path(folder) / name).st_size
            used += -(-size // 4096) * 4096
            count += 1
    with_metadata = used + count * 256 + used // 16 + spare_bytes
    return -(-with_metadata // MIB) * MIB


def write(
    target: Path,
    geometry: Geometry,
    identifiers: Identifiers,
    root: Path,
    esp_files: Mapping[str, Path],
) -> None:
    """Write the disk image; `esp_files` maps paths on the ESP to host files.

    Raises missing-binary, servicing/command-failed (a tree that does not fit, for one).
    """
    with target.open("wb") as disk:
        disk.truncate(geometry.disk_bytes)
    table = partition_script(geometry, identifiers)
    run.run(["sfdisk", "--quiet", target], stdin=table.encode())
    _write_esp(target, geometry, identifiers, esp_files)
    _write_root(target, geometry, identifiers, root)


def partition_script(geometry: Geometry, identifiers: Identifiers) -> str:
    """The partition table as input of sfdisk."""
    esp_type = guid(PartitionKind.ESP, Architecture.X86_64)
    root_type = guid(PartitionKind.ROOT, Architecture.X86_64)
    rows = (
        (_FIRST, geometry.esp_bytes, esp_type, identifiers.esp_partition, "esp"),
        (geometry.root_start, geometry.root_bytes, root_type, identifiers.root_partition, "root"),
    )
    lines = ["label: gpt", f"label-id: {identifiers.disk}", "unit: sectors", "first-lba: 2048"]
    lines += [
        f'start={start // 512}, size={size // 512}, type={kind}, uuid={own}, name="{name}"'
        for start, size, kind, own, name in rows
    ]
    return "\n".join(lines) + "\n"


def _write_esp(
    target: Path, geometry: Geometry, identifiers: Identifiers, files: Mapping[str, Path]
) -> None:
    with context("writing the ESP"):
        command = ["mkfs.vfat", "--invariant", "-F", "32", "-s", "1"]
        command += ["-i", identifiers.esp_volume, "-n", "ESP"]
        command += ["--offset", str(_FIRST // 512), str(target)]
        run.run([*command, str(geometry.esp_bytes // 1024)], env=_SAME_TIME)
        place = f"{target}@@{_FIRST}"
        folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for folder in sorted(folders):
            run.run(["mmd", "-i", place, f"::{folder}"], env=_SAME_TIME)
        for name, source in sorted(files.items()):
            run.run(["mcopy", "-i", place, source, f"::{name}"], env=_SAME_TIME)


def _write_root(target: Path, geometry: Geometry, identifiers: Identifiers, root: Path) -> None:
    own = identifiers.root_filesystem
    # The GRUB of Debian 12 reads neither of the two features that are switched off.
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-U", str(own), "-m", "1"]
    command += ["-O", "^metadata_csum_seed,^orphan_file"]
    command += ["-E", f"offset={geometry.root_start},hash_seed={own},lazy_itable_init=1"]
    command += ["-d", str(root), str(target), f"{geometry.root_bytes // 1024}k"]
    with context("writing the root file system"):
        run.run(command, timeout_s=_MKFS_TIMEOUT_S)
