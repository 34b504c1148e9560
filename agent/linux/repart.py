"""Partition tables made by systemd-repart from definition files (repart.d(5)).

`render` and `parse` are pure. `apply` destroys what is on the disk when `empty` is FORCE.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.linux import json_output
from agent.linux.json_output import Fields
from agent.linux.run import run

GRAIN_BYTES = 4096
"""Every partition starts and ends on a multiple of this."""
FIRST_BYTE = 1 << 20
"""Where the first partition starts."""
_TABLE_COPY_BYTES = 16 * 1024
_TIMEOUT_S = 300.0


class Empty(StrEnum):
    """What to do with the table that is there: a new one (everything lost), or keep it."""

    FORCE = "force"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Definition:
    """One partition to be there. `size_bytes` None: take the space that is left."""

    type: str
    """Type GUID."""
    label: str
    uuid: str
    size_bytes: int | None


@dataclass(frozen=True)
class Outcome:
    """One partition as systemd-repart planned or made it. Offsets and sizes in bytes."""

    definition: str
    """Name of the definition file, `001.conf` for the first Definition."""
    uuid: str
    label: str
    node: Path
    offset_bytes: int
    size_bytes: int
    activity: str
    """`create`, `resize` or `unchanged`."""


def usable_bytes(disk_bytes: int, sector_bytes: int) -> int:
    """Space for partitions on an empty GPT disk of this size, as systemd-repart lays it out."""
    backup = _TABLE_COPY_BYTES + sector_bytes
    end = (disk_bytes - backup) // GRAIN_BYTES * GRAIN_BYTES
    return max(0, end - FIRST_BYTE)


def render(definition: Definition) -> str:
    """The definition file of one partition. `%` is escaped: it starts a specifier there."""
    lines = [
        "[Partition]",
        f"Type={definition.type}",
        f"Label={definition.label.replace('%', '%%')}",
        f"UUID={definition.uuid}",
        "GrowFileSystem=no",
    ]
    if definition.size_bytes is not None:
        lines += [
            f"SizeMinBytes={definition.size_bytes}",
            f"SizeMaxBytes={definition.size_bytes}",
        ]
    return "\n".join(lines) + "\n"


def parse(text: str) -> tuple[Outcome, ...]:
    """The partitions in systemd-repart's JSON output, in the order of the table."""
    return tuple(_outcome(entry) for entry in json_output.parse_list("systemd-repart", text))


def plan(disk: Path, definitions: Sequence[Definition], *, empty: Empty) -> tuple[Outcome, ...]:
    """What `apply` would make of `disk`. Writes nothing."""
    return _repart(disk, definitions, empty=empty, dry_run=True)


def apply(disk: Path, definitions: Sequence[Definition], *, empty: Empty) -> tuple[Outcome, ...]:
    """Write the partition table. Destroys the old one and all on it when `empty` is FORCE."""
    return _repart(disk, definitions, empty=empty, dry_run=False)


def _repart(
    disk: Path, definitions: Sequence[Definition], *, empty: Empty, dry_run: bool
) -> tuple[Outcome, ...]:
    with _directory(definitions) as directory:
        result = run(
            [
                "systemd-repart",
                disk,
                f"--dry-run={'yes' if dry_run else 'no'}",
                f"--empty={empty}",
                "--seed=random",
                "--json=short",
                "--definitions",
                directory,
            ],
            timeout_s=_TIMEOUT_S,
        )
    return parse(result.stdout)


@contextmanager
def _directory(definitions: Sequence[Definition]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="trident-repart-") as name:
        directory = Path(name)
        for number, definition in enumerate(definitions, start=1):
            (directory / f"{number:03}.conf").write_text(render(definition))
        yield directory


def _outcome(entry: Fields) -> Outcome:
    return Outcome(
        definition=entry.text("file") or "",
        uuid=entry.required_text("uuid").lower(),
        label=entry.text("label") or "",
        node=Path(entry.required_text("node")),
        offset_bytes=entry.required_integer("offset"),
        size_bytes=entry.required_integer("raw_size"),
        activity=entry.required_text("activity"),
    )
