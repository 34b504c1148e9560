"""What the boot server remembers of machines: their records, timelines, declarations and grants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import JsonValue
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from bootserver.database import EVENTS, GRANTS, HOSTS, MACHINES, Database
from bootserver.reports.state import ConfigurationTaken, Progress, Record, Report, State, advance

MAX_NEW: Final = 4096
"""Machines remembered that never booted: whoever can send packets cannot fill the disk."""
MAX_EVENTS: Final = 5000
"""Timeline entries kept of one machine."""
_PRUNE_EVERY: Final = 256

# Built once: the DHCP server asks these for every packet.
_MACHINE = select(MACHINES).where(MACHINES.c.mac == bindparam("mac"))
_DECLARATION = select(HOSTS.c.declaration).where(HOSTS.c.mac == bindparam("mac"))
_STANDING = (
    select(MACHINES, GRANTS.c.time.label("granted"))
    .outerjoin(GRANTS, GRANTS.c.mac == MACHINES.c.mac)
    .where(MACHINES.c.mac == bindparam("mac"))
)

Source = Literal["dhcp", "tftp", "http", "agent", "operator"]


@dataclass(frozen=True)
class Note:
    """A timeline entry to be written. The time is now unless given.

    `key` names the occurrence: an entry that the machine's timeline has already is not repeated.
    """

    source: Source
    event: str
    detail: Mapping[str, JsonValue] = field(default_factory=dict)
    time: datetime | None = None
    key: str | None = None


@dataclass(frozen=True)
class Change:
    """Reports and notes about one machine."""

    mac: str
    reports: tuple[Report, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A timeline entry as stored."""

    id: int
    time: str
    source: str
    event: str
    detail: Mapping[str, JsonValue]


class Store:
    """Machines, their timelines, declarations and grants. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, mac: str) -> Record | None:
        """What is remembered of a machine."""
        with self._database.reading() as connection:
            return _read_record(connection, mac)

    def standing(self, mac: str) -> tuple[Record | None, bool]:
        """What is remembered of a machine, and whether a reinstall is granted."""
        with self._database.reading() as connection:
            row = connection.execute(_STANDING, {"mac": mac}).mappings().first()
        return (_record(row), row["granted"] is not None) if row else (None, False)

    def records(self) -> list[Record]:
        """All machines ever seen, by MAC."""
        with self._database.reading() as connection:
            rows = connection.execute(select(MACHINES).order_by(MACHINES.c.mac)).mappings()
            return [_record(row) for row in rows]

    def find_by_address(self, address: str) -> str | None:
        """MAC of the machine that last used this address."""
        query = (
            select(MACHINES.c.mac)
            .where(MACHINES.c.address == address)
            .order_by(MACHINES.c.updated.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def apply(self, mac: str, reports: Sequence[Report] = (), notes: Sequence[Note] = ()) -> Record:
        """Move a machine by `reports` and write `notes` into its timeline, all or nothing.

        An unknown machine is created; of too many new ones the oldest is forgotten. Nothing
        happens when the timeline holds a note's key already: the report came twice.
        """
        with self._database.writing() as connection:
            return _apply(connection, mac, reports, notes)

    def apply_all(self, changes: Sequence[Change]) -> None:
        """Several `apply`s in one transaction."""
        if not changes:
            return
        with self._database.writing() as connection:
            for change in changes:
                _apply(connection, change.mac, change.reports, change.notes)

    def take_configuration(self, mac: str, note: Note) -> bool:
        """Start the install of a machine; False when it is installed and nothing was granted.

        A grant is used up by this.
        """
        with self._database.writing() as connection:
            record = _read_record(connection, mac) or Record(mac)
            granted = connection.execute(delete(GRANTS).where(GRANTS.c.mac == mac)).rowcount > 0
            if record.installed and not granted:
                return False
            _apply(connection, mac, (ConfigurationTaken(),), (note,))
            return True

    def timeline(self, mac: str) -> list[Entry]:
        """All entries of a machine, oldest first."""
        query = select(EVENTS).where(EVENTS.c.mac == mac).order_by(EVENTS.c.id)
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def grant_reinstall(self, mac: str) -> None:
        """Allow one more install of a machine."""
        with self._database.writing() as connection:
            connection.execute(delete(GRANTS).where(GRANTS.c.mac == mac))
            connection.execute(insert(GRANTS).values(mac=mac, time=_now()))
            _apply(connection, mac, (), (Note("operator", "reinstall-requested"),))

    def has_grant(self, mac: str) -> bool:
        """Whether a reinstall is granted and not yet used."""
        with self._database.reading() as connection:
            found = connection.execute(select(GRANTS.c.mac).where(GRANTS.c.mac == mac))
            return found.first() is not None

    def declarations(self) -> dict[str, str]:
        """Declarations added by command: JSON text by MAC."""
        with self._database.reading() as connection:
            rows = connection.execute(select(HOSTS.c.mac, HOSTS.c.declaration))
            return {row.mac: row.declaration for row in rows}

    def declaration(self, mac: str) -> str | None:
        """The declaration of one machine that was added by command."""
        with self._database.reading() as connection:
            return connection.execute(_DECLARATION, {"mac": mac}).scalar_one_or_none()

    def declare(self, mac: str, declaration: str) -> None:
        """Add or replace a declaration."""
        with self._database.writing() as connection:
            connection.execute(delete(HOSTS).where(HOSTS.c.mac == mac))
            connection.execute(insert(HOSTS).values(mac=mac, declaration=declaration))
            _apply(connection, mac, (), (Note("operator", "declared"),))

    def remove(self, mac: str) -> bool:
        """Remove a declaration and any grant; the timeline stays. False when there was none."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(HOSTS).where(HOSTS.c.mac == mac)).rowcount > 0
            connection.execute(delete(GRANTS).where(GRANTS.c.mac == mac))
            if gone:
                _apply(connection, mac, (), (Note("operator", "removed"),))
            return gone


def _apply(
    connection: Connection, mac: str, reports: Sequence[Report], notes: Sequence[Note]
) -> Record:
    before = _read_record(connection, mac)
    record = before or Record(mac)
    if any(_is_repeated(connection, mac, note) for note in notes):
        return record
    for report in reports:
        record = advance(record, report)
    if before is None:
        _make_room(connection)
        connection.execute(insert(MACHINES).values(_row(record)))
    elif record != before:
        connection.execute(update(MACHINES).where(MACHINES.c.mac == mac).values(_row(record)))
    for note in notes:
        _write_note(connection, mac, note)
    return record


def _make_room(connection: Connection) -> None:
    """Forget the machine that was new for longest, when too many are."""
    new = MACHINES.c.state == State.NEW.value
    count = connection.execute(select(func.count()).select_from(MACHINES).where(new)).scalar_one()
    if count < MAX_NEW:
        return
    oldest = select(MACHINES.c.mac).where(new).order_by(MACHINES.c.updated).limit(1)
    mac = connection.execute(oldest).scalar_one()
    connection.execute(delete(EVENTS).where(EVENTS.c.mac == mac))
    connection.execute(delete(MACHINES).where(MACHINES.c.mac == mac))


def _write_note(connection: Connection, mac: str, note: Note) -> None:
    row = {
        "mac": mac,
        "time": _text(note.time) if note.time else _now(),
        "source": note.source,
        "event": note.event,
        "detail": json.dumps(dict(note.detail)),
        "key": note.key,
    }
    written = connection.execute(insert(EVENTS).values(row)).inserted_primary_key
    if written is not None and written[0] % _PRUNE_EVERY == 0:
        _prune(connection, mac)


def _is_repeated(connection: Connection, mac: str, note: Note) -> bool:
    if note.key is None:
        return False
    query = select(EVENTS.c.id).where(EVENTS.c.mac == mac, EVENTS.c.key == note.key)
    return connection.execute(query).first() is not None


def _prune(connection: Connection, mac: str) -> None:
    oldest = (
        select(EVENTS.c.id)
        .where(EVENTS.c.mac == mac)
        .order_by(EVENTS.c.id.desc())
        .offset(MAX_EVENTS)
        .limit(1)
    )
    bound = connection.execute(oldest).scalar_one_or_none()
    if bound is not None:
        connection.execute(delete(EVENTS).where(EVENTS.c.mac == mac, EVENTS.c.id <= bound))


def _read_record(connection: Connection, mac: str) -> Record | None:
    row = connection.execute(_MACHINE, {"mac": mac}).mappings().first()
    return _record(row) if row is not None else None


def _record(row: Mapping[Any, Any]) -> Record:
    progress = json.loads(row["progress"]) if row["progress"] else None
    return Record(
        mac=row["mac"],
        state=State(row["state"]),
        installed=row["installed"],
        architecture=row["architecture"],
        uuid=row["uuid"],
        serial=row["serial"],
        address=row["address"],
        last_error=json.loads(row["last_error"]) if row["last_error"] else None,
        host_status=row["host_status"],
        progress=Progress(**progress) if progress else None,
    )


def _row(record: Record) -> dict[str, object]:
    progress = record.progress
    return {
        "mac": record.mac,
        "state": record.state.value,
        "installed": record.installed,
        "architecture": record.architecture,
        "uuid": record.uuid,
        "serial": record.serial,
        "address": record.address,
        "last_error": json.dumps(dict(record.last_error)) if record.last_error else None,
        "host_status": record.host_status,
        "progress": json.dumps(vars(progress)) if progress else None,
        "updated": _now(),
    }


def _entry(row: Mapping[Any, Any]) -> Entry:
    return Entry(row["id"], row["time"], row["source"], row["event"], json.loads(row["detail"]))


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
