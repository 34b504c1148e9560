"""The agent's memory: Host Statuses in SQLite, in upstream's format, append-only.

One table `hoststatus(id, timestamp, contents)`; contents is Host Status YAML; the row with the
highest id counts. journal_mode=DELETE and synchronous=EXTRA: one file at all times, readable from a
read-only mount, and a returned `append` survives a power cut. A file that is no healthy datastore
is never taken for an empty one: a copy is set aside and the error says who must act.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.api import status as host_status
from agent.api.errors import Kind, TridentError
from agent.api.status import HostStatus

BUSY_TIMEOUT_S = 10.0
_MAGIC = b"SQLite format 3\0"
_SCHEMA = """CREATE TABLE IF NOT EXISTS hoststatus (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp DATETIME,
    contents TEXT NOT NULL
)"""


@dataclass(frozen=True)
class Row:
    """One stored status. `time` is None in rows that older agents wrote."""

    id: int
    time: datetime | None
    contents: str


class Datastore:
    """An open datastore. Make it with `opened` or `created`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def latest(self) -> HostStatus | None:
        """The status that counts; None in a datastore without rows.

        Raises initialization/parse-host-status when it can't be understood.
        """
        with _sqlite_errors(self.path):
            found = self._connection.execute(
                "SELECT contents FROM hoststatus ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return None if found is None else host_status.parse(str(found[0]))

    def append(self, status: HostStatus) -> None:
        """Make `status` the one that counts; on disk when this returns. Equal ones add no row."""
        contents = host_status.dump(status)
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        with _sqlite_errors(self.path), self._transaction():
            last = self._connection.execute(
                "SELECT contents FROM hoststatus ORDER BY id DESC LIMIT 1"
            ).fetchone()
            if last is None or last[0] != contents:
                self._connection.execute(
                    "INSERT INTO hoststatus (timestamp, contents) VALUES (?, ?)", (now, contents)
                )

    def rows(self) -> tuple[Row, ...]:
        """All rows, oldest first."""
        with _sqlite_errors(self.path):
            found = self._connection.execute(
                "SELECT id, timestamp, contents FROM hoststatus ORDER BY id"
            ).fetchall()
        return tuple(Row(int(id_), _time(time), str(text)) for id_, time, text in found)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


@contextmanager
def opened(path: Path) -> Iterator[Datastore]:
    """An existing datastore.

    Raises invalid-input/host-not-provisioned when there is none, initialization/load-host-status
    when the file is damaged (a copy is left beside it as `NAME.corrupt`).
    """
    if not path.exists():
        raise TridentError(
            Kind.INVALID_INPUT,
            "host-not-provisioned",
            f"there is no datastore at {path}: this host was not installed by the agent",
            hint="run `trident install` from the servicing image, or correct DatastorePath in "
            "/etc/trident/trident.conf",
        )
    _check_file(path)
    with closing(_connect(path)) as connection:
        _check_contents(path, connection)
        yield Datastore(path, connection)


@contextmanager
def created(path: Path) -> Iterator[Datastore]:
    """A datastore that is made when it is missing (mode 0600, its directory too).

    Raises servicing/initialize-datastore, and as `opened` when a damaged one is there.
    """
    if path.exists():
        with opened(path) as store:
            yield store
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise TridentError(
            Kind.SERVICING,
            "create-datastore-directory",
            f"the datastore {path} could not be made: {error.strerror}",
            fields={"path": str(path)},
        ) from error
    with closing(_connect(path)) as connection:
        with _sqlite_errors(path):
            connection.execute(_SCHEMA)
        yield Datastore(path, connection)


def persist(status: HostStatus, path: Path) -> None:
    """Write a new datastore that holds `status` alone in place of whatever `path` is.

    A reader finds the old file or the whole new one, also after a power cut.
    """
    beside = path.with_name(path.name + ".new")
    for leftover in (beside, beside.with_name(beside.name + "-journal")):
        leftover.unlink(missing_ok=True)
    with created(beside) as store:
        store.append(status)
    try:
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
        beside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _write_error(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    with _sqlite_errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA synchronous=EXTRA")
    return connection


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_MAGIC))
    except OSError as error:
        raise TridentError(
            Kind.INITIALIZATION,
            "load-host-status",
            f"the datastore {path} could not be read: {error.strerror}",
            hint="run the command as root",
            fields={"path": str(path)},
        ) from error
    if head != _MAGIC:
        raise _damaged(path, "it is empty" if not head else "it is no SQLite file")


def _check_contents(path: Path, connection: sqlite3.Connection) -> None:
    with _sqlite_errors(path):
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        columns = {row[1] for row in connection.execute("PRAGMA table_info(hoststatus)")}
    if verdict != "ok":
        raise _damaged(path, str(verdict))
    if not {"id", "timestamp", "contents"} <= columns:
        raise _damaged(path, "it has no table 'hoststatus' with the columns of a datastore")


def _damaged(path: Path, why: str) -> TridentError:
    aside = path.with_name(path.name + ".corrupt")
    kept = f"a copy is kept as {aside}"
    try:
        if not aside.exists():
            shutil.copy2(path, aside)
    except OSError as error:
        kept = f"no copy could be kept ({error.strerror})"
    return TridentError(
        Kind.INITIALIZATION,
        "load-host-status",
        f"the datastore {path} is damaged: {why}; {kept}",
        hint="restore it from a backup, or remove it and reinstall the host; nothing was changed",
        fields={"path": str(path)},
    )


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _write_error(path, error) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error


def _write_error(path: Path, error: Exception) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "write-to-datastore",
        f"the datastore {path} could not be used: {error}",
        hint="check that its file system is writable, has space and that no other program "
        "holds the file",
        fields={"path": str(path)},
    )


def _time(value: object) -> datetime | None:
    """SQLite's or our own form of a UTC time; None for NULL and for anything else."""
    try:
        parsed = datetime.fromisoformat(str(value)) if value is not None else None
    except ValueError:
        return None
    return parsed.replace(tzinfo=parsed.tzinfo or UTC) if parsed else None
