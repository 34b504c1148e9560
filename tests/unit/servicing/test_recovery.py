"""F57: a damaged datastore on a host that cannot be recognised, and rows of a later agent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent import datastore
from agent.api import dump
from agent.api import status as host_status
from agent.api.errors import TridentError
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.servicing import recovery
from agent.servicing.evidence import Machine, Remembered
from tests.unit.servicing.test_evidence import MACHINE, ON_B, configuration, status

PROVISIONED = HostStatus(servicing_state=ServicingState.PROVISIONED)


def stored(path: Path, contents: str) -> None:
    """A datastore whose newest row is `contents`."""
    datastore.persist(PROVISIONED, path)
    stored_after(path, contents)


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


def test_f57_a_datastore_without_a_row_is_damage(tmp_path: Path) -> None:
    with datastore.created(tmp_path / "d.sqlite"):
        pass
    error = refused(tmp_path / "d.sqlite", tmp_path / "config.yaml")
    assert isinstance(error, datastore.Damaged)
    assert "it holds no Host Status" in error.message


def test_f57_rows_of_an_installation_that_never_was_are_no_installed_host(tmp_path: Path) -> None:
    stored(tmp_path / "d.sqlite", "servicingState: [")
    with datastore.opened(tmp_path / "d.sqlite") as store:
        contents = text_of(HostStatus(is_management_os=True))
        store._connection.execute("UPDATE hoststatus SET contents = ? WHERE id = 1", (contents,))
    error = refused(tmp_path / "d.sqlite", tmp_path / "config.yaml")
    assert "do not tell of an installed host" in error.message


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


def seen(machine: Machine) -> Callable[[Remembered], Machine]:
    return lambda _memory: machine


@pytest.mark.parametrize("damage", ["last-row", "cut", "flipped"])
def test_f57_what_is_certain_is_stored_with_the_rows_that_could_be_read(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "d.sqlite"
    padded = status(last_error={"message": "x" * 3000})
    with datastore.created(path) as store:
        for index in range(12):
            store.append(padded.model_copy(update={"install_index": index}))
    whole = path.read_bytes()
    middle = len(whole) // 2 // 4096 * 4096
    match damage:
        case "last-row":
            stored_after(path, "servicingState: [")
        case "cut":
            path.write_bytes(whole[:-4096])
        case _:
            path.write_bytes(whole[:middle] + b"\xff" * 4096 + whole[middle + 4096 :])
    with recovery.opened(path, root=tmp_path, look=seen(ON_B)) as store:
        latest = store.latest()
        rows = store.rows()
    assert latest is not None
    assert latest.servicing_state is ServicingState.PROVISIONED
    assert (latest.ab_active_volume, latest.overwritten_volume) == (AbVolume.B, AbVolume.A)
    assert isinstance(latest.last_error, dict)
    assert latest.last_error["error"] == {"datastore-rebuilt": {"path": str(path)}}
    assert len(rows) > 1
    assert list(tmp_path.glob("d.sqlite.corrupt-*"))
    with recovery.opened(path, root=tmp_path, look=seen(replace(ON_B, disks={}))) as again:
        assert again.rows() == rows


def test_f57_without_a_row_the_operators_configuration_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    path.write_bytes(b"")
    (tmp_path / "config.yaml").write_text(dump.dump(configuration()))
    with recovery.opened(
        path, root=tmp_path, configuration=tmp_path / "config.yaml", look=seen(MACHINE)
    ) as store:
        latest = store.latest()
    assert latest is not None
    assert (latest.ab_active_volume, latest.spec.image) == (AbVolume.A, None)
    assert latest.spec.storage == configuration().storage


def test_f57_a_doubt_about_every_side_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    stored(path, "servicingState: [")
    with datastore.opened(path) as store:
        store._connection.execute("UPDATE hoststatus SET contents = ?", (text_of(status()),))
    before = path.read_bytes()
    path.write_bytes(before[:5000])
    with (
        pytest.raises(datastore.Damaged),
        recovery.opened(path, root=tmp_path, look=seen(replace(MACHINE, on_trial=True))),
    ):
        pass
    assert path.read_bytes() == before[:5000]


def stored_after(path: Path, contents: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO hoststatus (contents) VALUES (?)", (contents,))
    connection.commit()
    connection.close()


def text_of(value: HostStatus) -> str:
    return host_status.dump(value)
