"""A datastore that cannot be used: a copy of it set aside, and what can still be read of it.

Nothing here changes the damaged file. Copies are named by their content: the same damage, found at
every boot, is kept once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from agent.api.errors import Kind, TridentError
from agent.datastore.rows import Row, parse_time

REBUILD_HINT = (
    "run `trident commit`, which rebuilds it when disks and firmware leave no doubt; nothing was "
    "changed"
)
_PROBED_ROWS = 10_000
"""Ids that are tried when the file does not say how many there are."""


class Damaged(TridentError):
    """initialization/load-host-status: the file is there and is no healthy datastore.

    `copy` is where it was set aside; None when that failed.
    """

    def __init__(
        self, path: Path, why: str, copy: Path | None, *, hint: str = REBUILD_HINT
    ) -> None:
        super().__init__(
            Kind.INITIALIZATION,
            "load-host-status",
            f"the datastore {path} is damaged ({_kept(copy)}): {why}",
            hint=hint,
            fields={"path": str(path)},
        )
        self.path = path
        self.why = why
        self.copy = copy


def damaged(path: Path, why: str) -> Damaged:
    """Set a copy of the file aside and make the error that says so."""
    return Damaged(path, why, _set_aside(path))


def newer(path: Path, version: int) -> TridentError:
    """Set a copy aside and make the error for a file that a later agent wrote."""
    copy = _set_aside(path)
    return TridentError(
        Kind.INITIALIZATION,
        "load-host-status",
        f"the datastore {path} has the schema version {version}, which this agent does not know: "
        f"a later one wrote it; {_kept(copy)}",
        hint="use the agent that wrote it (it is on the side of the host that was updated last); "
        "nothing was changed",
        fields={"path": str(path)},
    )


def salvage(path: Path) -> tuple[Row, ...]:
    """The rows that can still be read, oldest first. The file is only read, journals are ignored.

    Their contents are what is there: whether it makes sense is for the caller.
    """
    uri = f"file:{quote(os.fspath(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("PRAGMA writable_schema = ON")  # else nothing of a cut file is read
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            return _readable(connection)
    except sqlite3.Error:
        return ()


def _readable(connection: sqlite3.Connection) -> tuple[Row, ...]:
    found: list[Row] = []
    for id_ in range(1, _last_id(connection) + 1):
        try:
            row = connection.execute(
                "SELECT timestamp, contents FROM hoststatus WHERE id = ?", (id_,)
            ).fetchone()
        except sqlite3.Error:
            continue
        if row is not None and isinstance(row[1], str):
            found.append(Row(id_, parse_time(row[0]), row[1]))
    return tuple(found)


def _last_id(connection: sqlite3.Connection) -> int:
    for query in ("SELECT seq FROM sqlite_sequence", "SELECT max(id) FROM hoststatus"):
        try:
            found = connection.execute(query).fetchone()
        except sqlite3.Error:
            continue
        if found and isinstance(found[0], int):
            return max(0, min(found[0], 100 * _PROBED_ROWS))
    return _PROBED_ROWS


def _set_aside(path: Path) -> Path | None:
    """Copy the file, and its journal if there is one; None when that fails."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        aside = path.with_name(f"{path.name}.corrupt-{digest}")
        journal = path.with_name(path.name + "-journal")
        for source, copy in ((path, aside), (journal, aside.with_name(aside.name + "-journal"))):
            if source.exists() and not copy.exists():
                shutil.copy2(source, copy)
    except OSError:
        return None
    return aside


def _kept(copy: Path | None) -> str:
    return "no copy could be kept" if copy is None else f"a copy is kept as {copy}"
