from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import datastore
from agent.api import status as host_status
from agent.api.errors import TridentError
from agent.api.status import HostStatus, ServicingState
from agent.linux.run import run, spawn

STAGED = HostStatus(servicing_state=ServicingState.CLEAN_INSTALL_STAGED, install_index=1)
PROVISIONED = HostStatus(servicing_state=ServicingState.PROVISIONED)


def test_the_last_status_counts_and_equal_ones_add_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a" / "datastore.sqlite"
    with datastore.created(path) as store:
        assert store.latest() is None
        for status in (STAGED, STAGED, PROVISIONED, STAGED):
            store.append(status)
        assert len(store.rows()) == 3
    with datastore.opened(path) as store:
        assert store.latest() == STAGED
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_timestamps_are_real(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    with datastore.created(tmp_path / "d.sqlite") as store:
        store.append(STAGED)
        (row,) = store.rows()
    assert row.time is not None
    assert before <= row.time <= datetime.now(UTC)


def test_durability_settings_hold_on_every_connection(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    with datastore.created(path):
        pass
    with datastore.opened(path) as store:
        pragma = store._connection.execute
        assert pragma("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert pragma("PRAGMA synchronous").fetchone()[0] == 3


def test_f58_a_datastore_of_the_first_agents_is_read(tmp_path: Path) -> None:
    """Their timestamp column has a misspelt default: NULL in every row."""
    path = tmp_path / "d.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE hoststatus (id INTEGER PRIMARY KEY AUTOINCREMENT, "
        "timestamp DATETIME DEFALUT CURRENT_TIMESTAMP, contents TEXT NOT NULL)"
    )
    text = "servicingState: provisioned\nsomethingNewer: {a: [1, 2]}\n"
    connection.execute("INSERT INTO hoststatus (contents) VALUES (?)", (text,))
    connection.commit()
    connection.close()
    with datastore.opened(path) as store:
        assert [row.time for row in store.rows()] == [None]
        status = store.latest()
        assert status is not None
        assert status.servicing_state is ServicingState.PROVISIONED
        store.append(status.model_copy(update={"install_index": 3}))
        assert "somethingNewer" in store.rows()[1].contents


def test_a_missing_datastore_says_that_the_host_was_not_installed(tmp_path: Path) -> None:
    with pytest.raises(TridentError) as caught, datastore.opened(tmp_path / "d.sqlite"):
        pass
    assert caught.value.identifier == "invalid-input/host-not-provisioned"
    assert list(tmp_path.iterdir()) == []


def full(path: Path) -> bytes:
    with datastore.created(path) as store:
        for index in range(40):
            store.append(STAGED.model_copy(update={"install_index": index}))
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "flipped", "other-table"])
def test_f57_a_damaged_datastore_is_refused_and_set_aside_but_left_alone(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "d.sqlite"
    whole = full(path)
    match kind:
        case "empty":
            damaged = b""
        case "text":
            damaged = b"servicingState: provisioned\n"
        case "truncated":
            damaged = whole[: len(whole) // 2]
        case "flipped":
            damaged = whole[:4096] + bytes(4096) + whole[8192:]
        case _:
            path.unlink()
            connection = sqlite3.connect(path)
            connection.execute("CREATE TABLE other (id INTEGER)")
            connection.commit()
            connection.close()
            damaged = path.read_bytes()
    path.write_bytes(damaged)
    for _ in range(2):
        with pytest.raises(TridentError) as caught, datastore.opened(path):
            pass
        assert caught.value.identifier == "initialization/load-host-status"
    assert path.read_bytes() == damaged
    (aside,) = tmp_path.glob("d.sqlite.corrupt-*")
    assert aside.read_bytes() == damaged
    with pytest.raises(TridentError, match="damaged"), datastore.created(path):
        pass


def test_f57_another_damage_of_the_same_file_is_set_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        with pytest.raises(datastore.Damaged) as caught, datastore.opened(path):
            pass
        assert caught.value.copy is not None
        assert caught.value.copy.read_bytes() == content
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 2


def test_f57_a_file_of_a_later_agent_is_set_aside_and_not_taken_for_damage(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    with datastore.created(path) as store:
        store.append(PROVISIONED)
        store._connection.execute("PRAGMA user_version = 7")
    with pytest.raises(TridentError) as caught, datastore.opened(path):
        pass
    assert caught.value.identifier == "initialization/load-host-status"
    assert not isinstance(caught.value, datastore.Damaged)
    assert "schema version 7" in caught.value.message
    assert "the agent that wrote it" in (caught.value.hint or "")
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1


def test_f57_rows_are_read_around_a_destroyed_page(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    with datastore.created(path) as store:
        for index in range(40):
            long = {"install_index": index, "last_error": {"message": "x" * 1500}}
            store.append(STAGED.model_copy(update=long))
    whole = path.read_bytes()
    assert len(datastore.salvage(path)) == 40
    lost = len(whole) // 2 // 4096 * 4096
    path.write_bytes(whole[:lost] + b"\xff" * 4096 + whole[lost + 4096 :])
    with pytest.raises(datastore.Damaged), datastore.opened(path):
        pass
    saved = datastore.salvage(path)
    assert 0 < len(saved) < 40
    for row in saved:
        assert host_status.parse(row.contents).install_index == row.id - 1
        assert row.time is not None


@pytest.mark.parametrize("content", [b"", b"no database at all" * 300])
def test_f57_of_a_file_that_is_no_datastore_nothing_is_salvaged(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "d.sqlite").write_bytes(content)
    assert datastore.salvage(tmp_path / "d.sqlite") == ()


def test_a_datastore_is_replaced_with_its_history(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    full(path)
    rows = datastore.salvage(path)
    path.write_bytes(b"broken")
    datastore.persist(PROVISIONED, path, rows[:7])
    with datastore.opened(path) as store:
        assert store.rows()[:7] == rows[:7]
        assert store.latest() == PROVISIONED
        assert len(store.rows()) == 8


def test_a_status_that_cannot_be_understood_is_an_error(tmp_path: Path) -> None:
    with datastore.created(tmp_path / "d.sqlite") as store:
        store._connection.execute("INSERT INTO hoststatus (contents) VALUES ('servicingState: 7')")
        with pytest.raises(TridentError) as caught:
            store.latest()
    assert caught.value.identifier == "initialization/parse-host-status"


def test_persist_replaces_what_is_there_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "var/lib/trident/datastore.sqlite"
    datastore.persist(STAGED, path)
    (path.parent / "datastore.sqlite.new").write_bytes(b"left by a crash")
    datastore.persist(PROVISIONED, path)
    with datastore.opened(path) as store:
        assert store.latest() == PROVISIONED
        assert len(store.rows()) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_f56_a_datastore_that_stays_locked_is_an_error_after_a_bounded_wait(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.sqlite"
    with datastore.created(path) as store:
        store.append(PROVISIONED)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    with (
        pytest.raises(TridentError) as caught,
        datastore.opened(path, busy_timeout_s=0.3) as store,
    ):
        store.append(STAGED)
    assert time.monotonic() - started < 5
    assert caught.value.identifier == "servicing/write-to-datastore"
    assert "no other program holds the file" in (caught.value.hint or "")
    other.execute("ROLLBACK")
    with datastore.opened(path) as store:
        assert store.latest() == PROVISIONED
    other.close()


KILLED_IN_A_TRANSACTION = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
for _ in range(200):
    connection.execute("UPDATE hoststatus SET contents = contents || 'x'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_f56_what_a_killed_writer_had_begun_is_undone(tmp_path: Path) -> None:
    """A hot journal: half of a transaction is in the file already."""
    path = tmp_path / "d.sqlite"
    whole = full(path)
    run([sys.executable, "-c", KILLED_IN_A_TRANSACTION, path], ok=(-signal.SIGKILL,))
    assert (tmp_path / "d.sqlite-journal").stat().st_size > 0
    assert path.read_bytes() != whole
    with datastore.opened(path) as store:
        assert len(store.rows()) == 40
        latest = store.latest()
    assert latest is not None
    assert latest.install_index == 39
    assert not (tmp_path / "d.sqlite-journal").exists()


def test_a_writer_waits_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    with datastore.created(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        release.start()
        store.append(STAGED)
        release.join()
        assert store.latest() == STAGED
        other.close()


WRITER = """
import sys
from pathlib import Path
from agent import datastore
from agent.api.status import HostStatus
with datastore.created(Path(sys.argv[1])) as store:
    for index in range(1, 1_000_000):
        store.append(HostStatus(install_index=index))
        print(index, flush=True)
"""


def test_what_append_returned_from_survives_kill_9(tmp_path: Path) -> None:
    """Ten writers are killed at arbitrary moments; the file is whole and lacks nothing promised."""
    for attempt in range(10):
        path = tmp_path / f"{attempt}.sqlite"
        log = tmp_path / f"{attempt}.log"
        argv = [sys.executable, "-c", WRITER, os.fspath(path)]
        with spawn(argv, log=log, cwd=Path.cwd()) as process:
            while not log.exists() or log.read_bytes().count(b"\n") < 3 + attempt:
                assert process.wait(0.005) is None, log.read_text()
            process.signal(signal.SIGKILL)
            assert process.wait(5) == -signal.SIGKILL
        promised = int(log.read_text().rpartition("\n")[0].rsplit("\n")[-1])
        with datastore.opened(path) as store:
            latest = store.latest()
            assert latest is not None
            assert latest.install_index >= promised
            assert len(store.rows()) == latest.install_index
        with datastore.opened(path) as store:
            store.append(PROVISIONED)
            assert store.latest() == PROVISIONED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_is_readable_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    with datastore.created(path) as store:
        store.append(STAGED)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(path, copy / "d.sqlite")
    (copy / "d.sqlite").chmod(0o444)
    copy.chmod(0o555)
    with datastore.opened(copy / "d.sqlite") as store:
        assert store.latest() == STAGED


def test_contents_are_host_status_yaml(tmp_path: Path) -> None:
    with datastore.created(tmp_path / "d.sqlite") as store:
        store.append(STAGED)
        assert host_status.parse(store.rows()[0].contents) == STAGED
