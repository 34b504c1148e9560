"""The agent's memory: Host Statuses in SQLite, in upstream's format, append-only.

One table `hoststatus(id, timestamp, contents)`; contents is Host Status YAML; the row with the
highest id counts. journal_mode=DELETE and synchronous=EXTRA: one file at all times, readable from a
read-only mount, and a returned `append` survives a power cut. A file that is no healthy datastore
is never taken for an empty one: a copy is set aside and the error says who must act.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from agent.api import status as host_status
from agent.api.errors import Kind, TridentError
from agent.api.status import HostStatus
from agent.datastore.damage import REBUILD_HINT, newer
from agent.datastore.damage import Damaged as Damaged
from agent.datastore.damage import damaged as damaged
from agent.datastore.damage import salvage as salvage
from agent.datastore.rows import Row as Row
from agent.datastore.rows import parse_time
from agent.linux import files

BUSY_TIMEOUT_S = 10.0
SCHEMA_VERSION = 0
"""The `user_version` of today's files, upstream's too."""
ROOM_BYTES = 1 << 20
"""What must be free for the rows of one operation and their journal."""
_SCHEMA = """CREATE TABLE IF NOT EXISTS hoststatus (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp DATETIME,
    contents TEXT NOT NULL
)"""


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
        if found is None:
            return None
        try:
            return host_status.parse(str(found[0]))
        except TridentError as error:
            error.hint = REBUILD_HINT
            raise

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

    def require_room(self) -> None:
        """Raise servicing/write-to-datastore unless an operation's rows will fit on the disk."""
        state = os.statvfs(self.path.parent)
        available = state.f_bavail * state.f_frsize
        if available < ROOM_BYTES:
            why = f"its file system has {available} bytes free, {ROOM_BYTES} are needed"
            raise _write_error(self.path, OSError(why))

    def rows(self) -> tuple[Row, ...]:
        """All rows, oldest first."""
        with _sqlite_errors(self.path):
            found = self._connection.execute(
                "SELECT id, timestamp, contents FROM hoststatus ORDER BY id"
            ).fetchall()
        return tuple(Row(int(id_), parse_time(time), str(text)) for id_, time, text in found)

    def restore(self, rows: Sequence[Row]) -> None:
        """Add rows as they were, time and number included."""
        values = [(row.id, row.time and row.time.isoformat(), row.contents) for row in rows]
        with _sqlite_errors(self.path), self._transaction():
            self._connection.executemany(
                "INSERT INTO hoststatus (id, timestamp, contents) VALUES (?, ?, ?)", values
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


@contextmanager
def opened(path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[Datastore]:
    """An existing datastore. What a writer that was killed had begun is undone.

    Raises invalid-input/host-not-provisioned when there is none, Damaged when the file is damaged
    and initialization/load-host-status when a later agent wrote it (a copy is left beside it),
    servicing/write-to-datastore when another program holds it for longer than `busy_timeout_s`.
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
    with closing(_connect(path, busy_timeout_s)) as connection:
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
    with closing(_connect(path, BUSY_TIMEOUT_S)) as connection:
        with _sqlite_errors(path):
            connection.execute(_SCHEMA)
        yield Datastore(path, connection)


def persist(status: HostStatus, path: Path, earlier: Sequence[Row] = ()) -> None:
    """Write a new datastore with `status`, after `earlier` rows, in place of whatever `path` is.

    A reader finds the old file or the whole new one, also after a power cut. Raises
    servicing/write-to-datastore; then `path` is what it was.
    """
    beside = path.with_name(path.name + ".new")
    leftovers = (beside, beside.with_name(beside.name + "-journal"))
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        with created(beside) as store:
            store.restore(earlier)
            store.append(status)
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
        beside.replace(path)
        files.sync_directory(path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    with _sqlite_errors(path):
        connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA synchronous=EXTRA")
    return connection


def _check_file(path: Path) -> None:
    """That it can be read and is not empty, which SQLite would take for a new one."""
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise TridentError(
            Kind.INITIALIZATION,
            "load-host-status",
            f"the datastore {path} could not be read: {error.strerror}",
            hint="run the command as root",
            fields={"path": str(path)},
        ) from error
    if empty:
        raise damaged(path, "it is empty")


def _check_contents(path: Path, connection: sqlite3.Connection) -> None:
    with _sqlite_errors(path):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        columns = {row[1] for row in connection.execute("PRAGMA table_info(hoststatus)")}
    if verdict != "ok":
        raise damaged(path, str(verdict))
    if version > SCHEMA_VERSION:
        raise newer(path, version)
    if not {"id", "timestamp", "contents"} <= columns:
        raise damaged(path, "it has no table 'hoststatus' with the columns of a datastore")


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _write_error(path, error) from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from error


def _write_error(path: Path, error: Exception) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "write-to-datastore",
        f"the datastore {path} could not be used: {error}",
        hint="check that its file system is writable, has space and that no other program "
        "holds the file",
        fields={"path": str(path)},
    )
