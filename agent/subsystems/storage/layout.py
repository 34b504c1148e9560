"""From the Host Configuration and the disks that are there to the partitions to be made. Pure.

Everything that can be wrong about sizes and disks is found here, before anything is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture, guid
from agent.api.storage import Disk, Partition, Storage
from agent.api.units import fixed_bytes
from agent.linux import repart
from agent.linux.block import BlockDevice

BY_PARTITION_UUID = Path("/dev/disk/by-partuuid")
MINIMUM_GROW_BYTES = 1 << 20
"""The least a partition of size `grow` must get."""
_PARTITIONABLE = ("disk", "loop")
_LABEL_CODE_UNITS = 36


@dataclass(frozen=True)
class PlannedPartition:
    """One partition to be made. `grows`: it takes a share of what the others leave."""

    id: str
    label: str
    type: UUID
    uuid: UUID
    size_bytes: int
    grows: bool

    @property
    def path(self) -> Path:
        """Its stable device name."""
        return BY_PARTITION_UUID / str(self.uuid)

    def definition(self) -> repart.Definition:
        """What systemd-repart is told about it."""
        size_bytes = None if self.grows else self.size_bytes
        return repart.Definition(str(self.type), self.label, str(self.uuid), size_bytes)


@dataclass(frozen=True)
class PlannedDisk:
    """One disk of the Host Configuration on the device it was found to be."""

    id: str
    device: BlockDevice
    partitions: tuple[PlannedPartition, ...]

    @property
    def path(self) -> Path:
        return self.device.path

    def definitions(self) -> tuple[repart.Definition, ...]:
        """What systemd-repart is told, in the order of the table."""
        return tuple(partition.definition() for partition in self.partitions)


@dataclass(frozen=True)
class Layout:
    """All disks of the Host Configuration."""

    disks: tuple[PlannedDisk, ...]

    def sizes(self) -> dict[str, int]:
        """Bytes of every partition, by id."""
        return {
            partition.id: partition.size_bytes
            for disk in self.disks
            for partition in disk.partitions
        }


def resolve(
    storage: Storage,
    devices: Mapping[str, BlockDevice],
    architecture: Architecture,
    new_uuid: Callable[[], UUID],
) -> Layout:
    """Lay out the partitions of `storage` on `devices` (by disk id).

    `new_uuid` makes the UUIDs that the configuration leaves open. Raises
    invalid-host-configuration-dynamic: disk-definitions-refer-to-same-device, not-a-disk,
    disk-too-small, partition-label-too-long.
    """
    _check_distinct(storage, devices)
    return Layout(
        tuple(_plan_disk(disk, devices[disk.id], architecture, new_uuid) for disk in storage.disks)
    )


def dynamic_error(inner: str, message: str, hint: str, **fields: str) -> TridentError:
    """An error of the configuration that only shows on the host it is meant for."""
    return TridentError(
        Kind.INVALID_INPUT,
        "invalid-host-configuration-dynamic",
        message,
        hint=hint,
        fields={"inner": inner, **fields},
    )


def _check_distinct(storage: Storage, devices: Mapping[str, BlockDevice]) -> None:
    uses = Counter(devices[disk.id].path for disk in storage.disks)
    for path, count in uses.items():
        if count > 1:
            ids = ", ".join(f"'{d.id}'" for d in storage.disks if devices[d.id].path == path)
            raise dynamic_error(
                "disk-definitions-refer-to-same-device",
                f"the disks {ids} are all the same device, {path}",
                "give every entry of storage.disks a device of its own",
                path=str(path),
            )


def _plan_disk(
    disk: Disk,
    device: BlockDevice,
    architecture: Architecture,
    new_uuid: Callable[[], UUID],
) -> PlannedDisk:
    if device.type not in _PARTITIONABLE:
        raise dynamic_error(
            "not-a-disk",
            f"the device of disk '{disk.id}', {device.path}, is not a whole disk "
            f"but of type '{device.type}'",
            "name the disk itself in storage.disks[].device, not a partition or volume on it",
            path=str(device.path),
        )
    grow_bytes = _grow_bytes(disk, device)
    planned = []
    for partition in disk.partitions:
        size_bytes = fixed_bytes(partition.size)
        planned.append(
            PlannedPartition(
                id=partition.id,
                label=_checked_label(partition),
                type=guid(partition.type, architecture),
                uuid=partition.uuid or new_uuid(),
                size_bytes=grow_bytes if size_bytes is None else size_bytes,
                grows=size_bytes is None,
            )
        )
    return PlannedDisk(disk.id, device, tuple(planned))


def _grow_bytes(disk: Disk, device: BlockDevice) -> int:
    """The share of each partition of size `grow`, at the least; 0 when there is none."""
    sizes = [fixed_bytes(partition.size) for partition in disk.partitions]
    fixed = sum(size for size in sizes if size is not None)
    growing = sizes.count(None)
    available = repart.usable_bytes(device.size_bytes, device.sector_bytes)
    needed = fixed + growing * MINIMUM_GROW_BYTES
    if needed > available:
        raise dynamic_error(
            "disk-too-small",
            f"disk '{disk.id}' ({device.path}) is too small: its partitions need {needed} bytes, "
            f"{available} of its {device.size_bytes} bytes are available for partitions",
            "use a larger disk or smaller partitions in storage.disks[].partitions[].size",
            path=str(device.path),
            neededBytes=str(needed),
            availableBytes=str(available),
        )
    if growing == 0:
        return 0
    return (available - fixed) // growing // repart.GRAIN_BYTES * repart.GRAIN_BYTES


def _checked_label(partition: Partition) -> str:
    label = partition.effective_label
    if len(label.encode("utf-16-le")) // 2 > _LABEL_CODE_UNITS:
        raise dynamic_error(
            "partition-label-too-long",
            f"the label '{label}' of partition '{partition.id}' is longer than "
            f"{_LABEL_CODE_UNITS} characters, the most a GPT can hold",
            "set a shorter storage.disks[].partitions[].label",
            partition=partition.id,
        )
    return label
