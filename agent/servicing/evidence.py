"""What disks and firmware prove about a host whose datastore is damaged. Pure.

`judge` makes a status only when everything agrees: every partition that a remembered configuration
asks for is there with its name, type, size and (when remembered) PARTUUID, the running root is one
of them, and the firmware boots that side by default. Whatever does not fit is a doubt, and with a
doubt nothing is rebuilt. What disks cannot tell - the image that was installed - is left out of the
status: the next update replaces that side whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from agent.api.hostconfig import HostConfiguration
from agent.api.parttypes import Architecture, guid
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.api.storage import AdoptedPartition, Partition, Storage
from agent.api.units import fixed_bytes
from agent.linux.block import BlockDevice
from agent.linux.bootvars import Entry, State
from agent.servicing import statuses
from agent.subsystems.boot import names
from agent.subsystems.storage.layout import BY_PARTITION_UUID

_NOTHING_INSTALLED = (ServicingState.NOT_PROVISIONED, ServicingState.CLEAN_INSTALL_STAGED)


@dataclass(frozen=True)
class Remembered:
    """What a host may be: a configuration and the side it was put on."""

    source: str
    spec: HostConfiguration
    volume: AbVolume
    state: ServicingState = ServicingState.PROVISIONED
    partition_paths: Mapping[str, PurePosixPath] | None = None


@dataclass(frozen=True)
class Machine:
    """What is there. `disks` by the ids of the configuration in question."""

    disks: Mapping[str, BlockDevice]
    root_number: str
    """`major:minor` of the running root."""
    firmware: State | None
    """None: this system has no EFI variables."""
    on_trial: bool
    """Whether the running system is an update that waits for its commit."""
    architecture: Architecture


@dataclass(frozen=True)
class Doubts:
    """Why a memory is not believed."""

    reasons: tuple[str, ...]


def memories(
    rows: Sequence[HostStatus], configured: HostConfiguration | None, source: str
) -> tuple[Remembered, ...]:
    """What the host may be, from rows that could still be read (the newest last).

    Without any, from the Host Configuration `configured` of the file `source`.
    """
    if rows:
        return tuple(_of_row(rows[-1]))
    if configured is None:
        return ()
    sides = AbVolume if configured.storage.volume_pairs else (AbVolume.A,)
    return tuple(Remembered(source, configured, side) for side in sides)


def judge(memory: Remembered, machine: Machine) -> HostStatus | Doubts:
    """The status of the host when it is what `memory` says, else why it cannot be."""
    doubts: list[str] = []
    if machine.on_trial:
        doubts.append(
            "the running system is an update that was not committed yet; it gives way at its "
            "deadline, and the system before it can be recognised"
        )
    found = dict(_identify(memory, machine, doubts))
    if not _holds_root(memory, found, machine):
        doubts.append(f"the running root is not that of {memory.volume}")
    index = _install_index(memory.volume, machine.firmware, doubts)
    if doubts:
        return Doubts(tuple(dict.fromkeys(doubts)))
    paired = bool(memory.spec.storage.volume_pairs)
    installing = memory.state is ServicingState.CLEAN_INSTALL_FINALIZED
    return HostStatus(
        spec=memory.spec.model_copy(update={"image": None}),
        servicing_state=memory.state,
        partition_paths={
            id_: PurePosixPath(BY_PARTITION_UUID / str(device.partition_uuid))
            for id_, device in found.items()
        },
        ab_active_volume=memory.volume if paired and not installing else None,
        overwritten_volume=memory.volume.other if paired and not installing else None,
        disk_uuids={
            id_: UUID(device.table_uuid)
            for id_, device in machine.disks.items()
            if device.table_uuid
        },
        install_index=index,
        trident_version=statuses.VERSION,
    )


def _of_row(row: HostStatus) -> Iterator[Remembered]:
    """The system that was running, and what was put on the other side then or later.

    Rows after this one may be lost. Updates do not change the storage section.
    """
    if row.is_management_os or row.servicing_state in _NOTHING_INSTALLED:
        return
    source = "the newest row of the damaged file that can be read"
    running = statuses.recorded(row)
    active = row.ab_active_volume or AbVolume.A
    if row.servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED:
        yield Remembered(source, row.spec, active, row.servicing_state, row.partition_paths)
        return
    yield Remembered(source, running.spec, active, partition_paths=row.partition_paths)
    if row.spec.storage.volume_pairs:
        yield Remembered(source, row.spec, active.other, partition_paths=row.partition_paths)


def _identify(
    memory: Remembered, machine: Machine, doubts: list[str]
) -> Iterator[tuple[str, BlockDevice]]:
    """The partition of the machine for each of the configuration's."""
    known = memory.partition_paths or {}
    for disk in memory.spec.storage.disks:
        device = machine.disks.get(disk.id)
        if device is None:
            doubts.append(f"the disk {disk.device} is not there")
            continue
        wanted: list[Partition | AdoptedPartition] = [*disk.partitions, *disk.adopted_partitions]
        for partition in wanted:
            alike = [child for child in device.children if _is(partition, child, machine)]
            if len(alike) != 1:
                doubts.append(
                    f"{disk.device} has {len(alike)} partitions that can be '{partition.id}'"
                )
                continue
            if (path := known.get(partition.id)) and path.name != alike[0].partition_uuid:
                doubts.append(f"'{partition.id}' on {disk.device} is not the one that was recorded")
            yield partition.id, alike[0]


def _is(partition: Partition | AdoptedPartition, device: BlockDevice, machine: Machine) -> bool:
    """Whether a partition of the machine is what the configuration describes."""
    if device.partition_uuid is None:
        return False
    if isinstance(partition, AdoptedPartition):
        if partition.match_label is not None:
            return device.partition_label == partition.match_label
        return device.partition_uuid == str(partition.match_uuid)
    size_bytes = fixed_bytes(partition.size)
    kind = guid(partition.type, machine.architecture)
    return (
        device.partition_label == partition.effective_label
        and (device.partition_type or "").lower() == str(kind)
        and size_bytes in (None, device.size_bytes)
        and (partition.uuid is None or device.partition_uuid == str(partition.uuid))
    )


def _holds_root(memory: Remembered, found: Mapping[str, BlockDevice], machine: Machine) -> bool:
    """Whether the running root is on, or stacked on, the side that `memory` names."""
    storage = memory.spec.storage
    root = next((fs for fs in storage.filesystems if fs.is_root), None)
    if root is None or root.device_id is None or not machine.root_number:
        return False
    return any(
        part.number == machine.root_number
        for id_ in _beneath(storage, root.device_id, memory.volume)
        if id_ in found
        for part in found[id_].walk()
    )


def _beneath(storage: Storage, device_id: str, volume: AbVolume) -> Iterator[str]:
    """The ids of the partitions under a device."""
    below: dict[str, tuple[str, ...]] = {
        pair.id: (pair.volume_a_id if volume is AbVolume.A else pair.volume_b_id,)
        for pair in storage.volume_pairs
    }
    below |= {array.id: array.devices for array in storage.raid.software}
    below |= {encrypted.id: (encrypted.device_id,) for encrypted in storage.encrypted_volumes}
    below |= {verity.id: (verity.data_device_id,) for verity in storage.verity}
    if device_id not in below:
        yield device_id
        return
    for inner in below[device_id]:
        yield from _beneath(storage, inner, volume)


def _install_index(volume: AbVolume, firmware: State | None, doubts: list[str]) -> int:
    """The index of the installation that the firmware boots by default; 0 when in doubt."""
    if firmware is None:
        doubts.append("the firmware's boot entries cannot be read")
        return 0
    ours = {
        entry.number: named
        for entry in firmware.entries
        if (named := names.parse_directory(entry.label)) is not None
    }
    booted = ours.get(firmware.current or "")
    if firmware.next in ours:
        doubts.append("the firmware is about to boot another side (BootNext)")
    if booted is not None and booted[1] is not volume:
        doubts.append(f"the firmware booted {_label(firmware.entries, firmware.current)}")
    indexes = {booted[0]} if booted else {index for index, side in ours.values() if side is volume}
    if len(indexes) != 1:
        doubts.append(f"the firmware has no single boot entry for {volume} of this installation")
        return 0
    index = indexes.pop()
    order = [ours[number] for number in firmware.order if number in ours]
    mine = [named for named in order if named[0] == index]
    if not mine or mine[0][1] is not volume:
        doubts.append("the firmware does not boot this side by default")
    return index


def _label(entries: Sequence[Entry], number: str | None) -> str:
    return next((entry.label for entry in entries if entry.number == number), "something else")
