"""The database: its tables, how it is opened, and its two kinds of transactions.

SQLite through SQLAlchemy Core. Several processes share it (HTTP workers, the network services, the
command line). Every change is one transaction that takes the write lock at its start, so two
reports about a machine never overwrite each other; WAL lets readers go on meanwhile.
`synchronous=FULL`: "this machine is installed" must outlive a power cut of the boot server, or the
machine would be installed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.exc import DatabaseError

from agent.api.errors import Kind, TridentError

FILE_NAME: Final = "bootserver.sqlite"
_BUSY_TIMEOUT_S: Final = 10.0

_METADATA = MetaData()

HOSTS = Table(
    "hosts",
    _METADATA,
    Column("mac", String(17), primary_key=True),
    Column("declaration", Text, nullable=False),
)

MACHINES = Table(
    "machines",
    _METADATA,
    Column("mac", String(17), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("installed", Boolean, nullable=False),
    Column("architecture", String(16)),
    Column("uuid", String(36)),
    Column("serial", Text),
    Column("address", String(45), index=True),
    Column("last_error", Text),
    Column("host_status", Text),
    Column("progress", Text),
    Column("updated", String(40), nullable=False),
)

EVENTS = Table(
    "events",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("mac", String(17), nullable=False),
    Column("time", String(40), nullable=False),
    Column("source", String(16), nullable=False),
    Column("event", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("key", String(96)),
    Index("events_of_machine", "mac", "id"),
    Index("events_once", "mac", "key", unique=True),
    sqlite_autoincrement=True,
)

GRANTS = Table(
    "grants",
    _METADATA,
    Column("mac", String(17), primary_key=True),
    Column("time", String(40), nullable=False),
)


LEASES = Table(
    "leases",
    _METADATA,
    Column("address", String(15), primary_key=True),
    Column("mac", String(17), nullable=False, unique=True),
    Column("expires", Float, nullable=False),
    Column("hostname", Text),
)

DIGESTS = Table(
    "digests",
    _METADATA,
    Column("base", String(256), primary_key=True),
    Column("laid", String(96), primary_key=True),
    Column("sha384", String(96), nullable=False),
)
"""SHA-384 of installation media as served: of an image with something laid over it."""


class Database:
    """The database in the folder `state`, which is made if need be.

    One per process: never carry it across a fork.
    """

    def __init__(self, state: Path) -> None:
        """Open or create it. Raises state-not-writable."""
        self.path = state / FILE_NAME
        self._engine = _open(self.path)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view; changes nothing."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One change, durable when the block ends, undone when it raises."""
        with self._engine.execution_options(writes=True).begin() as connection:
            yield connection


def _open(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=16,
        max_overflow=128,
        connect_args={"timeout": _BUSY_TIMEOUT_S},
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with engine.execution_options(writes=True).begin() as connection:
            _METADATA.create_all(connection)
    except (OSError, DatabaseError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error.strerror
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "state-not-writable",
            f"cannot open the database {path}: {reason}",
            hint="the state folder must be writable by the server's user",
            fields={"path": str(path)},
        ) from error
    return engine


def _configure(connection: Any, _record: object) -> None:
    """Leave transactions to us, and set what every connection needs."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Take the write lock at the start of a change, so that it cannot fail halfway."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
