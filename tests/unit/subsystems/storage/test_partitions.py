"""Whether a partition table is the planned one."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from agent.api.parttypes import Architecture
from agent.linux.gpt import Partition, Table
from agent.linux.repart import Outcome
from agent.subsystems.storage import layout, partitions
from agent.subsystems.storage.layout import PlannedDisk
from tests.unit.subsystems.storage.samples import configuration, disk


def planned() -> PlannedDisk:
    numbers = iter(range(1, 100))
    return layout.resolve(
        configuration().storage,
        {"os": disk()},
        Architecture.X86_64,
        lambda: UUID(int=next(numbers)),
    ).disks[0]


def table(wanted: PlannedDisk) -> Table:
    entries = tuple(
        Partition(
            wanted.path, 0, partition.size_bytes, str(partition.type), str(partition.uuid), "x"
        )
        for partition in wanted.partitions
    )
    return Table("gpt", "id", wanted.path, 512, entries)


def test_the_planned_table_is_accepted() -> None:
    wanted = planned()
    assert partitions.table_mismatches(wanted, table(wanted)) == []


def test_a_growing_partition_may_be_larger_but_not_smaller() -> None:
    wanted = planned()
    made = table(wanted)
    *others, last = made.partitions
    larger = replace(last, size_bytes=last.size_bytes + 4096)
    smaller = replace(last, size_bytes=last.size_bytes - 4096)
    assert partitions.table_mismatches(wanted, replace(made, partitions=(*others, larger))) == []
    (wrong,) = partitions.table_mismatches(wanted, replace(made, partitions=(*others, smaller)))
    assert wrong.startswith("partition 'srv' has ")


def test_wrong_size_wrong_type_missing_and_extra_partitions_are_found() -> None:
    wanted = planned()
    made = table(wanted)
    esp, root, *others = made.partitions
    changed = (
        replace(esp, size_bytes=esp.size_bytes + 4096),
        replace(root, type="0fc63daf-8483-4772-8e79-3d69d8477de4"),
        *others[:-1],
        replace(others[-1], uuid="ffffffff-ffff-4fff-8fff-ffffffffffff"),
        others[0],
    )
    assert partitions.table_mismatches(wanted, replace(made, partitions=changed)) == [
        f"partition 'esp' has {esp.size_bytes + 4096} bytes, not {esp.size_bytes}",
        "partition 'srv' is missing",
        "partition 'root-a' has type 0fc63daf-8483-4772-8e79-3d69d8477de4",
        "it has 7 partitions, not 6",
    ]


def test_a_rehearsal_that_leaves_one_out_is_found() -> None:
    wanted = planned()
    outcomes = [
        Outcome("", str(partition.uuid), "", wanted.path, 0, partition.size_bytes, "create")
        for partition in wanted.partitions
    ]
    assert partitions.mismatches(wanted, outcomes) == []
    assert partitions.mismatches(wanted, outcomes[1:]) == ["partition 'esp' is missing"]
