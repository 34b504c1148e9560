"""F57: a damaged datastore on a host that cannot be recognised, and rows of a later agent."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent import datastore
from agent.api.errors import TridentError
from agent.api.status import HostStatus, ServicingState
from agent.servicing import recovery

PROVISIONED = HostStatus(servicing_state=ServicingState.PROVISIONED)


def stored(path: Path, contents: str) -> None:
    """A datastore whose newest row is `contents`."""
    datastore.persist(PROVISIONED, path)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO hoststatus (contents) VALUES (?)", (contents,))
    connection.commit()
    connection.close()


def refused(path: Path, configuration: Path) -> TridentError:
    with (
        pytest.raises(TridentError) as caught,
        recovery.opened(path, root=path.parent, configuration=configuration),
    ):
        pass
    return caught.value


def test_a_healthy_datastore_is_opened_as_it_is(tmp_path: Path) -> None:
    datastore.persist(PROVISIONED, tmp_path / "d.sqlite")
    with recovery.opened(tmp_path / "d.sqlite") as store:
        assert store.latest() == PROVISIONED
        assert len(store.rows()) == 1


def test_f57_with_nothing_left_the_operator_is_told_what_would_help(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    path.write_bytes(b"")
    error = refused(path, tmp_path / "config.yaml")
    assert isinstance(error, datastore.Damaged)
    assert "no row can be read, and there is no Host Configuration" in error.message
    assert str(tmp_path / "config.yaml") in (error.hint or "")
    assert path.read_bytes() == b""


def test_f57_a_configuration_that_does_not_fit_the_machine_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    path.write_bytes(b"no database")
    (tmp_path / "config.yaml").write_text(
        "storage:\n  disks:\n  - {id: os, device: /dev/no-such-disk, partitionTableType: gpt,"
        " partitions: [{id: root, type: root, size: 1G}]}\n"
        "  filesystems:\n  - {deviceId: root, mountPoint: /}\n"
    )
    error = refused(path, tmp_path / "config.yaml")
    assert "the disk /dev/no-such-disk is not there" in error.message
    assert path.read_bytes() == b"no database"


def test_f57_a_row_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    stored(tmp_path / "d.sqlite", "servicingState: [")
    error = refused(tmp_path / "d.sqlite", tmp_path / "config.yaml")
    assert isinstance(error, datastore.Damaged)
    assert list(tmp_path.glob("d.sqlite.corrupt-*"))


def test_f58_a_row_of_a_later_agent_that_makes_no_sense_is_left_to_that_agent(
    tmp_path: Path,
) -> None:
    stored(tmp_path / "d.sqlite", "servicingState: levitating\ntridentVersion: 999.0.0\n")
    error = refused(tmp_path / "d.sqlite", tmp_path / "config.yaml")
    assert error.identifier == "initialization/parse-host-status"
    assert "a later agent wrote this row" in (error.hint or "")
    assert not list(tmp_path.glob("d.sqlite.corrupt-*"))
