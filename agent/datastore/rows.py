"""One row of the datastore."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Row:
    """One stored status. `time` is None in rows that older agents wrote."""

    id: int
    time: datetime | None
    contents: str


def parse_time(value: object) -> datetime | None:
    """SQLite's or our own form of a UTC time; None for NULL and for anything else."""
    try:
        parsed = datetime.fromisoformat(str(value)) if value is not None else None
    except ValueError:
        return None
    return parsed.replace(tzinfo=parsed.tzinfo or UTC) if parsed else None
