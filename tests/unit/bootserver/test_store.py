"""The database: transactions, limits, and several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.events import OperationDone
from bootserver import store as store_module
from bootserver.database import FILE_NAME, Database
from bootserver.lease_store import DatabaseLeases
from bootserver.leases import Lease
from bootserver.reports.state import BootStarted, PhoneHome, Progress, Record, Seen, State
from bootserver.store import Change, Note, Store
from tests.kit.bootserver import MAC, OTHER_MAC

FORK = multiprocessing.get_context("fork")
CONFIG = Note("http", "config")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def installed() -> OperationDone:
    return OperationDone(
        run="r",
        sequence=1,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        operation="install",
        servicing_state="clean-install-finalized",
        reboot=True,
    )


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    error = PhoneHome(state="failed", message="x", host_status="servicingState: y")
    seen = Seen("efi-x86_64", "u", "s", "10.0.0.1")
    written = store.apply(MAC, (seen, error))
    assert store.record(MAC) == written
    assert written.state is State.FAILED
    assert written.last_error == {"message": "x"}
    assert store.record(OTHER_MAC) is None


def test_progress_comes_back_as_it_was(store: Store) -> None:
    from agent.api.events import StepProgress

    event = StepProgress(
        run="r",
        sequence=1,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        operation="install",
        step="s",
        done_bytes=1,
        total_bytes=2,
    )
    store.apply(MAC, (event,))
    record = store.record(MAC)
    assert record is not None
    assert record.progress == Progress("s", 1, 2)


def test_a_timeline_keeps_order_source_and_detail(store: Store) -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    store.apply(MAC, (), (Note("dhcp", "discover", {"xid": "1"}, time), Note("tftp", "read")))
    store.apply(OTHER_MAC, (), (Note("dhcp", "discover"),))
    first, second = store.timeline(MAC)
    assert (first.source, first.event, first.detail) == ("dhcp", "discover", {"xid": "1"})
    assert first.time == "2026-01-02T03:04:05.678Z"
    assert second.id > first.id


def test_an_entry_with_a_known_key_changes_nothing(store: Store) -> None:
    note = Note("agent", "operation-done", key="r/1")
    store.apply(MAC, (Seen(serial="a"),), (note,))
    store.apply(MAC, (Seen(serial="b"),), (note,))
    store.apply(OTHER_MAC, (), (note,))
    record = store.record(MAC)
    assert record is not None
    assert record.serial == "a"
    assert len(store.timeline(MAC)) == 1
    assert len(store.timeline(OTHER_MAC)) == 1


def test_a_timeline_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_EVENTS", 20)
    changes = [Change(MAC, (), (Note("dhcp", "discover", {"n": n}),)) for n in range(600)]
    store.apply_all(changes)
    kept = store.timeline(MAC)
    assert len(kept) < 20 + 256
    assert kept[-1].detail == {"n": 599}


def test_strangers_push_out_the_oldest_stranger_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_NEW", 3)
    store.apply(MAC, (BootStarted(),))
    strangers = [f"52:54:00:00:00:0{number}" for number in range(9)]
    for mac in strangers:
        store.apply(mac, (), (Note("dhcp", "discover"),))
    assert [record.mac for record in store.records()] == [*strangers[-3:], MAC]
    assert store.timeline(strangers[0]) == []


def test_an_installed_machine_is_not_given_its_configuration(store: Store) -> None:
    assert store.take_configuration(MAC, CONFIG)
    assert store.take_configuration(MAC, CONFIG), "an install that was cut off may start again"
    store.apply(MAC, (installed(),))
    assert not store.take_configuration(MAC, CONFIG)
    record = store.record(MAC)
    assert record is not None
    assert record.installed


def test_a_grant_is_used_up_by_one_install(store: Store) -> None:
    store.apply(MAC, (installed(),))
    store.grant_reinstall(MAC)
    assert store.has_grant(MAC)
    assert store.take_configuration(MAC, CONFIG)
    assert not store.has_grant(MAC)
    store.apply(MAC, (installed(),))
    assert not store.take_configuration(MAC, CONFIG)
    events = [entry.event for entry in store.timeline(MAC)]
    assert events == ["reinstall-requested", "config"]


def test_removing_a_declaration_takes_its_grant_and_keeps_the_timeline(store: Store) -> None:
    store.declare(MAC, "{}")
    store.grant_reinstall(MAC)
    assert store.remove(MAC)
    assert not store.remove(MAC)
    assert not store.has_grant(MAC)
    assert [entry.event for entry in store.timeline(MAC)] == [
        "declared",
        "reinstall-requested",
        "removed",
    ]


def test_an_address_belongs_to_the_machine_that_used_it_last(store: Store) -> None:
    store.apply(MAC, (Seen(address="10.0.0.1"),))
    store.apply(OTHER_MAC, (Seen(address="10.0.0.2"),))
    store.apply(OTHER_MAC, (Seen(address="10.0.0.1"),))
    assert store.find_by_address("10.0.0.1") == OTHER_MAC
    assert store.find_by_address("10.0.0.9") is None


def test_leases_replace_others_of_their_address_and_machine(database: Database) -> None:
    leases = DatabaseLeases(database)
    first, second = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    leases.save(Lease(MAC, first, 1.5, "node1"))
    leases.save(Lease(OTHER_MAC, second, 2.5))
    leases.save(Lease(MAC, second, 3.5))
    assert list(leases.load()) == [Lease(MAC, second, 3.5)]
    leases.remove(second)
    assert list(leases.load()) == []


def _write_many(state: Path, mac: str, count: int) -> None:
    database = Database(state)
    store = Store(database)
    for number in range(count):
        store.apply(mac, (Seen(serial=str(number)),), (Note("agent", "x", {"n": number}),))
    database.close()


def test_processes_do_not_lose_each_others_changes(tmp_path: Path, store: Store) -> None:
    macs = [f"52:54:00:00:00:0{number}" for number in range(4)]
    workers = [
        FORK.Process(target=_write_many, args=(tmp_path / "state", mac, 40), daemon=True)
        for mac in macs + [MAC] * 2
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert [len(store.timeline(mac)) for mac in macs] == [40] * 4
    assert len(store.timeline(MAC)) == 80


def _take_one(state: Path, start: Barrier) -> None:
    store = Store(Database(state))
    start.wait(30)
    os._exit(0 if store.take_configuration(MAC, CONFIG) else 7)


def test_of_many_that_ask_at_once_each_is_answered_and_the_grant_is_gone(
    tmp_path: Path, store: Store
) -> None:
    store.apply(MAC, (installed(),))
    store.grant_reinstall(MAC)
    start = FORK.Barrier(4)
    workers = [
        FORK.Process(target=_take_one, args=(tmp_path / "state", start), daemon=True)
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not store.has_grant(MAC)
    granted = [entry for entry in store.timeline(MAC) if entry.event == "config"]
    assert len(granted) == sum(worker.exitcode == 0 for worker in workers) == 4


def _write_until_killed(state: Path, acknowledge: int) -> None:
    store = Store(Database(state))
    for number in range(10_000):
        store.apply(MAC, (), (Note("agent", "x", {"n": number}),))
        os.write(acknowledge, number.to_bytes(4, "big"))


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, store: Store) -> None:
    reader, writer = os.pipe()
    worker = FORK.Process(
        target=_write_until_killed, args=(tmp_path / "state", writer), daemon=True
    )
    worker.start()
    os.close(writer)
    with os.fdopen(reader, "rb") as acknowledged:
        received = acknowledged.read(4 * 50)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(30)
        received += acknowledged.read()
    numbers = [entry.detail["n"] for entry in store.timeline(MAC)]
    assert numbers[: len(received) // 4] == list(range(len(received) // 4))
    assert len(received) >= 200
    assert store.apply(MAC) == Record(MAC)


def test_a_folder_that_cannot_be_written_says_who_must_act(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    with pytest.raises(TridentError) as caught:
        Database(tmp_path / "state")
    assert caught.value.code == "state-not-writable"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / FILE_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(TridentError) as caught:
        Database(tmp_path / "other")
    assert caught.value.code == "state-not-writable"
