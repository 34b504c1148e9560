"""Block devices as the kernel and udev know them: `lsblk --json` and sysfs. Reads only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import json_output
from agent.linux.json_output import Fields
from agent.linux.run import run

_COLUMNS = (
    "PATH,KNAME,TYPE,SIZE,LOG-SEC,RO,RM,TRAN,MODEL,SERIAL,WWN,PTTYPE,PTUUID,"
    "PARTUUID,PARTLABEL,PARTTYPE,FSTYPE,UUID,LABEL,MOUNTPOINTS,MAJ:MIN"
)
_SYS_DEV = Path("/sys/dev/block")


@dataclass(frozen=True)
class BlockDevice:
    """One device and what is stacked on it (`children`: partitions, md, crypt, lvm ...)."""

    path: Path
    kernel_name: str
    type: str
    """`disk`, `part`, `loop`, `crypt`, `raid1`, `lvm`, `rom` ..."""
    size_bytes: int
    sector_bytes: int
    """Logical sector size."""
    read_only: bool
    removable: bool
    transport: str | None = None
    model: str | None = None
    serial: str | None = None
    wwn: str | None = None
    table_type: str | None = None
    table_uuid: str | None = None
    partition_uuid: str | None = None
    partition_label: str | None = None
    partition_type: str | None = None
    filesystem: str | None = None
    filesystem_uuid: str | None = None
    filesystem_label: str | None = None
    mount_points: tuple[str, ...] = ()
    """`[SWAP]` stands for active swap."""
    number: str = ""
    """`major:minor`."""
    children: tuple[BlockDevice, ...] = ()

    def walk(self) -> Iterator[BlockDevice]:
        """This device and everything stacked on it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(text: str) -> tuple[BlockDevice, ...]:
    """The devices of `lsblk --json --bytes` output, as trees."""
    root = json_output.parse_object("lsblk", text)
    return tuple(_device(fields) for fields in root.objects("blockdevices"))


def all_devices() -> tuple[BlockDevice, ...]:
    """Every block device of the machine, as trees with the disks at the top."""
    return parse(run(_argv()).stdout)


def disks() -> tuple[BlockDevice, ...]:
    """The machine's disks (not loop devices, CD-ROMs or floppies)."""
    return tuple(device for device in all_devices() if device.type == "disk")


def inspect(path: Path) -> BlockDevice:
    """One device and what is stacked on it. Raises command-failed for what is no block device."""
    devices = parse(run([*_argv(), path]).stdout)
    if len(devices) != 1:
        raise json_output.unexpected("lsblk", f"{len(devices)} devices for {path}")
    return devices[0]


def describe() -> str:
    """All that lsblk knows of all devices, as JSON text, for people."""
    return run(["lsblk", "--json", "--bytes", "--paths", "--tree", "--output-all"]).stdout


def resolve(path: Path) -> Path:
    """The device node a stable name (by-path, by-id ...) points to, below /dev.

    Raises invalid-disk-path when there is no such name, invalid-disk-block-device-path when it
    leads to something that is no block device below /dev.
    """
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except OSError as error:
        raise _invalid(
            "invalid-disk-path",
            f"the device {path} does not exist on this machine ({error.strerror})",
            path,
        ) from error
    if not real.is_relative_to("/dev") or not stat.S_ISBLK(mode):
        raise _invalid(
            "invalid-disk-block-device-path",
            f"{path} leads to {real}, which is not a block device below /dev",
            path,
        )
    return real


def sysfs(path: Path) -> Path:
    """The sysfs directory of a device node. Raises OSError when the node is gone."""
    number = path.stat().st_rdev
    return (_SYS_DEV / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True)


def partition_of(path: Path) -> tuple[Path, int]:
    """The disk that a partition is on, and its number there. Raises get-partition-number."""
    directory = sysfs(path)
    try:
        number = int((directory / "partition").read_text())
    except FileNotFoundError as error:
        raise TridentError(
            Kind.SERVICING,
            "get-partition-number",
            f"{path} is not a partition of a disk",
            fields={"path": str(path)},
        ) from error
    return Path("/dev") / directory.parent.name.replace("!", "/"), number


def sequence(path: Path) -> int | None:
    """The kernel's `diskseq`: another number for every disk that ever had this name.

    None on kernels before 5.15.
    """
    try:
        return int((sysfs(path) / "diskseq").read_text())
    except FileNotFoundError:
        return None


def holders(path: Path) -> tuple[str, ...]:
    """Kernel names of the devices (md, dm) that hold this very device open."""
    return tuple(sorted(entry.name for entry in (sysfs(path) / "holders").iterdir()))


def size_bytes(path: Path) -> int:
    """Size of a block device (or file), by seeking to its end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def in_exclusive_use(path: Path) -> bool:
    """Whether the kernel refuses an exclusive open: mounted, swap, or part of another device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    os.close(descriptor)
    return False


def _argv() -> list[str | os.PathLike[str]]:
    return ["lsblk", "--json", "--bytes", "--paths", "--tree", "--output", _COLUMNS]


def _device(fields: Fields) -> BlockDevice:
    return BlockDevice(
        path=Path(fields.required_text("path")),
        kernel_name=Path(fields.required_text("kname")).name,
        type=fields.required_text("type"),
        size_bytes=fields.required_integer("size"),
        sector_bytes=fields.required_integer("log-sec"),
        read_only=fields.flag("ro"),
        removable=fields.flag("rm"),
        transport=fields.text("tran"),
        model=fields.text("model"),
        serial=fields.text("serial"),
        wwn=fields.text("wwn"),
        table_type=fields.text("pttype"),
        table_uuid=fields.text("ptuuid"),
        partition_uuid=fields.text("partuuid"),
        partition_label=fields.text("partlabel"),
        partition_type=fields.text("parttype"),
        filesystem=fields.text("fstype"),
        filesystem_uuid=fields.text("uuid"),
        filesystem_label=fields.text("label"),
        mount_points=fields.texts("mountpoints"),
        number=fields.text("maj:min") or "",
        children=tuple(_device(child) for child in fields.objects("children")),
    )


def _invalid(code: str, message: str, path: Path) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "invalid-host-configuration-dynamic",
        message,
        hint="correct storage.disks[].device",
        fields={"inner": code, "path": str(path)},
    )
