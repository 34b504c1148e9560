"""How reports move a machine. What counts most: nothing but an install clears `installed`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.api.events import (
    OperationDone,
    OperationFailed,
    OperationStarted,
    StepProgress,
    StepStarted,
)
from bootserver.reports.state import (
    BootStarted,
    ConfigurationTaken,
    PhoneHome,
    Progress,
    Record,
    Report,
    Seen,
    State,
    active_volume,
    advance,
    servicing_state,
    worth_recording,
)

MAC = "52:54:00:77:00:01"
TIME = datetime(2026, 1, 2, tzinfo=UTC)
NEW = Record(MAC)


def started(operation: str) -> OperationStarted:
    return OperationStarted(run="r", sequence=1, time=TIME, operation=operation, version="1")


def done(operation: str, state: str, *, reboot: bool = False) -> OperationDone:
    return OperationDone(
        run="r", sequence=9, time=TIME, operation=operation, servicing_state=state, reboot=reboot
    )


def failed(operation: str) -> OperationFailed:
    return OperationFailed(
        run="r",
        sequence=9,
        time=TIME,
        operation=operation,
        kind="servicing",
        code="command-failed",
        message="mkfs failed",
        hint="look",
        context=("creating root",),
    )


def progress(step: str, done_bytes: int, total: int = 1000) -> StepProgress:
    return StepProgress(
        run="r",
        sequence=2,
        time=TIME,
        operation="install",
        step=step,
        done_bytes=done_bytes,
        total_bytes=total,
    )


def after(record: Record, *reports: Report) -> Record:
    for report in reports:
        record = advance(record, report)
    return record


INSTALLED = Record(MAC, state=State.PROVISIONED, installed=True)


def test_an_install_goes_from_new_to_provisioned() -> None:
    steps: list[tuple[Report, State, bool]] = [
        (Seen(architecture="efi-x86_64"), State.NEW, False),
        (BootStarted(), State.BOOTING, False),
        (ConfigurationTaken(), State.INSTALLING, False),
        (started("install"), State.INSTALLING, False),
        (done("install", "clean-install-finalized", reboot=True), State.REBOOTING, True),
        (started("commit"), State.REBOOTING, True),
        (done("commit", "provisioned"), State.PROVISIONED, True),
    ]
    record = NEW
    for report, state, installed in steps:
        record = advance(record, report)
        assert (record.state, record.installed) == (state, installed), report


def test_a_staged_install_is_not_installed() -> None:
    record = after(NEW, started("install"), done("install", "clean-install-staged"))
    assert record.state is State.INSTALLING
    assert not record.installed


def test_a_failed_install_keeps_its_reason() -> None:
    record = after(NEW, started("install"), failed("install"))
    assert record.state is State.FAILED
    assert record.last_error is not None
    assert record.last_error["code"] == "command-failed"
    assert record.last_error["context"] == ["creating root"]


def test_a_phonehome_does_not_replace_a_detailed_error() -> None:
    record = after(NEW, failed("install"), PhoneHome(state="failed", message="mkfs"))
    assert record.last_error is not None
    assert record.last_error["code"] == "command-failed"


def test_upstreams_agent_without_events_is_followed_by_phonehome_alone() -> None:
    status = "servicingState: provisioned\nabActiveVolume: volume-a\n"
    record = after(
        NEW,
        ConfigurationTaken(),
        PhoneHome(state="started"),
        PhoneHome(state="succeeded", message="provisioning succeeded", host_status=status),
    )
    assert record.state is State.PROVISIONED
    assert record.installed
    assert record.host_status == status


def test_a_success_without_a_readable_host_status_installs_nothing() -> None:
    for status in (None, "", "][", "servicingState: [1]", "- x"):
        record = after(NEW, PhoneHome(state="succeeded", host_status=status))
        assert not record.installed


@pytest.mark.parametrize(
    "report",
    [
        failed("commit"),
        failed("update"),
        PhoneHome(state="failed", message="no"),
        done("commit", "not-provisioned"),
        BootStarted(),
        Seen(address="10.0.0.1"),
        started("commit"),
        started("update"),
        progress("storage/images", 10),
    ],
)
def test_no_failure_makes_an_installed_machine_installable(report: Report) -> None:
    assert advance(INSTALLED, report).installed


@pytest.mark.parametrize("report", [ConfigurationTaken(), started("install")])
def test_only_an_install_makes_a_machine_not_installed(report: Report) -> None:
    assert not advance(INSTALLED, report).installed


def test_a_failed_update_leaves_the_machine_provisioned_with_an_error() -> None:
    record = after(INSTALLED, started("update"), failed("update"))
    assert record.state is State.PROVISIONED
    assert record.last_error is not None


def test_a_failed_commit_is_shown_as_failed() -> None:
    assert advance(INSTALLED, failed("commit")).state is State.FAILED


def test_a_finished_update_reboots_and_comes_back() -> None:
    record = after(INSTALLED, done("update", "ab-update-finalized", reboot=True))
    assert record.state is State.REBOOTING
    assert advance(record, done("commit", "provisioned")).state is State.PROVISIONED


def test_what_is_not_said_is_not_forgotten() -> None:
    seen = after(NEW, Seen("efi-x86_64", "u", "s", "10.0.0.9"), Seen(address="10.0.0.10"))
    assert (seen.architecture, seen.uuid, seen.serial) == ("efi-x86_64", "u", "s")
    assert seen.address == "10.0.0.10"


def test_progress_is_of_the_current_step_and_ends_with_the_install() -> None:
    record = after(NEW, progress("a", 10), progress("b", 20))
    assert record.progress == Progress("b", 20, 1000)
    assert advance(record, done("install", "clean-install-finalized")).progress is None


def test_a_declared_machine_that_never_booted_is_shown_as_declared() -> None:
    assert NEW.shown_state(declared=True) is State.DECLARED
    assert NEW.shown_state(declared=False) is State.NEW
    assert replace(NEW, state=State.BOOTING).shown_state(declared=True) is State.BOOTING


def test_the_timeline_keeps_a_tenth_of_progress_at_a_time() -> None:
    before: Progress | None = None
    kept = []
    for done_bytes in range(0, 1001, 10):
        event = progress("a", done_bytes)
        if worth_recording(before, event):
            kept.append(done_bytes)
        before = Progress("a", done_bytes, 1000)
    assert kept == [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]


def test_the_timeline_keeps_every_other_event_and_every_new_step() -> None:
    step = StepStarted(run="r", sequence=1, time=TIME, operation="o", step="a", message="m")
    assert worth_recording(Progress("a", 1, 2), step)
    assert worth_recording(Progress("a", 1, 2), progress("b", 0, 0))


def test_a_host_status_is_read_for_state_and_volume() -> None:
    status = "servicingState: provisioned\nabActiveVolume: volume-b\n"
    assert servicing_state(status) == "provisioned"
    assert active_volume(status) == "volume-b"
    assert active_volume(None) is None
