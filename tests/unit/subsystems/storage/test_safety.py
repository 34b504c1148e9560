"""When a disk may be overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.linux import block
from agent.subsystems.storage import safety
from agent.subsystems.storage.safety import Identity
from tests.unit.subsystems.storage.samples import disk

DATA = Path(__file__).parents[3] / "data" / "tools"
BEFORE = Identity(7, 1000, "S1", None, "f3692769-67af-4b45-af24-bea33f8be9dc")


def test_mounts_swap_and_devices_on_top_are_all_listed() -> None:
    """F18."""
    spare = block.parse((DATA / "lsblk.json").read_text())[2]
    assert safety.refusals(spare) == (
        "/dev/vdc1 is mounted on /tmp/m/efi",
        "/dev/vdc2 is mounted on /tmp/m",
        "/dev/vdc3 is active swap",
        "/dev/mapper/held (dm) is built on it",
    )


def test_an_unused_disk_with_partitions_is_not_refused() -> None:
    partition = disk("/dev/sda1", type="part")
    assert safety.refusals(disk(children=(partition,))) == ()


def test_a_read_only_disk_is_refused() -> None:
    assert safety.refusals(disk(read_only=True)) == ("/dev/sda is read-only",)


def test_the_same_disk_has_no_differences() -> None:
    assert safety.differences(BEFORE, BEFORE) == ()


def test_another_disk_under_the_same_name_is_told_by_any_fact() -> None:
    other = replace(BEFORE, sequence=8, serial="S2", table_uuid=None)
    assert safety.differences(BEFORE, other) == (
        "sequence was 7, is 8",
        "serial was S1, is S2",
        "table uuid was f3692769-67af-4b45-af24-bea33f8be9dc, is None",
    )
