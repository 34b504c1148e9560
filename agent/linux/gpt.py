"""The partition table on a disk: `sfdisk --json`. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.linux import json_output
from agent.linux.json_output import Fields
from agent.linux.run import run


@dataclass(frozen=True)
class Partition:
    """One entry of a partition table; UUIDs in lower case."""

    node: Path
    start_bytes: int
    size_bytes: int
    type: str
    uuid: str | None
    label: str | None
    bootable: bool = False


@dataclass(frozen=True)
class Table:
    """A partition table: `type` is `gpt` or `dos`."""

    type: str
    id: str
    device: Path
    sector_bytes: int
    partitions: tuple[Partition, ...]

    def by_uuid(self, uuid: str) -> Partition | None:
        """The partition with this UUID (any case), or None."""
        wanted = uuid.lower()
        return next((entry for entry in self.partitions if entry.uuid == wanted), None)


def parse(text: str) -> Table:
    """The table in `sfdisk --json` output."""
    table = json_output.parse_object("sfdisk", text).child("partitiontable")
    sector_bytes = table.integer("sectorsize") or 512
    return Table(
        type=table.required_text("label"),
        id=table.required_text("id").lower(),
        device=Path(table.required_text("device")),
        sector_bytes=sector_bytes,
        partitions=tuple(_partition(entry, sector_bytes) for entry in table.objects("partitions")),
    )


def read(disk: Path) -> Table:
    """The partition table of `disk`. Raises command-failed when it has none."""
    return parse(run(["sfdisk", "--json", disk]).stdout)


def _partition(entry: Fields, sector_bytes: int) -> Partition:
    uuid = entry.text("uuid")
    return Partition(
        node=Path(entry.required_text("node")),
        start_bytes=entry.required_integer("start") * sector_bytes,
        size_bytes=entry.required_integer("size") * sector_bytes,
        type=entry.required_text("type").lower(),
        uuid=uuid.lower() if uuid else None,
        label=entry.text("name"),
        bootable=entry.flag("bootable"),
    )
