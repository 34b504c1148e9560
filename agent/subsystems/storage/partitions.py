"""Making the partitions of a layout: check, write the table, wait for the nodes, verify.

`write_table` destroys what is on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from agent.api.errors import Kind, TridentError, context
from agent.api.storage import Storage
from agent.linux import architecture, block, gpt, partx, repart, udev
from agent.linux.block import BlockDevice
from agent.linux.gpt import Table
from agent.linux.repart import Outcome
from agent.subsystems.storage import layout, safety
from agent.subsystems.storage.layout import Layout, PlannedDisk
from agent.subsystems.storage.safety import Identity


def discover(storage: Storage) -> dict[str, BlockDevice]:
    """The device behind every disk of the configuration, by disk id. Reads only.

    Raises invalid-disk-path, invalid-disk-block-device-path; the hint lists the disks there are.
    """
    found = {}
    for disk in storage.disks:
        with context(f"looking for disk '{disk.id}'"):
            try:
                found[disk.id] = block.inspect(block.resolve(Path(disk.device)))
            except TridentError as error:
                present = "; ".join(describe(device) for device in block.disks())
                error.hint = (
                    f"correct storage.disks[].device; this machine has: {present or 'no disk'}"
                )
                raise
    return found


def describe(device: BlockDevice) -> str:
    """A disk for people: node, size, model and serial number. Pure."""
    known = (f"{device.size_bytes} bytes", device.model, device.serial)
    return f"{device.path} ({', '.join(text for text in known if text)})"


def plan(storage: Storage) -> Layout:
    """The layout of `storage` on this machine's disks, all safety checks passed. Reads only."""
    planned = layout.resolve(storage, discover(storage), architecture.running(), uuid4)
    for disk in planned.disks:
        safety.require_unused(disk.path)
    return planned


def rehearse(disk: PlannedDisk) -> None:
    """Have systemd-repart lay the disk out without writing, and compare. Writes nothing."""
    outcomes = repart.plan(disk.path, disk.definitions(), empty=repart.Empty.FORCE)
    _require_none(disk, mismatches(disk, outcomes))


def write_table(disk: PlannedDisk, identity: Identity) -> Table:
    """Replace the partition table of the disk that `identity` was read from; the table read back.

    Destroys everything on the disk. Raises create-partitions: another disk has the name now, it
    is in use, or the table is not what was planned.
    """
    safety.require_same(disk.path, identity)
    safety.require_unused(disk.path)
    outcomes = repart.apply(disk.path, disk.definitions(), empty=repart.Empty.FORCE)
    _require_none(disk, mismatches(disk, outcomes))
    table = gpt.read(disk.path)
    _require_none(disk, table_mismatches(disk, table))
    return table


def await_nodes(disk: PlannedDisk, table: Table) -> None:
    """Wait until every partition has its stable name, and that name leads to this very disk."""
    partx.update(disk.path)
    udev.wait([partition.path for partition in disk.partitions])
    wrong = []
    for partition in disk.partitions:
        entry = table.by_uuid(str(partition.uuid))
        real = partition.path.resolve()
        if entry is None or real != entry.node:
            wrong.append(f"{partition.path} leads to {real}")
        elif block.size_bytes(real) != entry.size_bytes:
            wrong.append(f"the kernel still has an old size for {real}")
    _require_none(disk, wrong)


def mismatches(disk: PlannedDisk, outcomes: Sequence[Outcome]) -> list[str]:
    """Where systemd-repart's partitions are not those of the plan. Pure."""
    made = {outcome.uuid: outcome.size_bytes for outcome in outcomes}
    return _wrong_sizes(disk, made)


def table_mismatches(disk: PlannedDisk, table: Table) -> list[str]:
    """Where a partition table is not what was planned. Pure."""
    made = {entry.uuid: entry.size_bytes for entry in table.partitions if entry.uuid}
    wrong = _wrong_sizes(disk, made)
    for partition in disk.partitions:
        entry = table.by_uuid(str(partition.uuid))
        if entry is not None and entry.type != str(partition.type):
            wrong.append(f"partition '{partition.id}' has type {entry.type}")
    if len(table.partitions) != len(disk.partitions):
        wrong.append(f"it has {len(table.partitions)} partitions, not {len(disk.partitions)}")
    return wrong


def _wrong_sizes(disk: PlannedDisk, made: dict[str, int]) -> list[str]:
    wrong = []
    for partition in disk.partitions:
        size_bytes = made.get(str(partition.uuid))
        if size_bytes is None:
            wrong.append(f"partition '{partition.id}' is missing")
        elif size_bytes < partition.size_bytes or (
            size_bytes != partition.size_bytes and not partition.grows
        ):
            wrong.append(
                f"partition '{partition.id}' has {size_bytes} bytes, not {partition.size_bytes}"
            )
    return wrong


def _require_none(disk: PlannedDisk, wrong: Sequence[str]) -> None:
    if wrong:
        raise TridentError(
            Kind.SERVICING,
            "create-partitions",
            f"the partition table of {disk.path} is not what was planned: " + "; ".join(wrong),
            hint="check that no other disk carries the same partition UUIDs and that nothing "
            "else changes this disk, then start again",
            fields={"disk": disk.id, "path": str(disk.path)},
        )
