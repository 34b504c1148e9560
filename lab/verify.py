"""The expectations of a scenario: one function a key, each answers None or a complaint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab import checks, damage, disks, scenario
from lab.session import Bench, Session


def complaint(session: Session, expectation: scenario.Expectation) -> str | None:
    """None when the expectation holds. Raises LabError when that cannot be found out."""
    bench = session.bench(expectation.value.machine)
    return KEYS[expectation.verb](session, bench, expectation.value)


def _timeline(_session: Session, bench: Bench, wanted: scenario.Timeline) -> str | None:
    events = bench.record.timeline if bench.record else ()
    return checks.timeline(wanted, bench.new_events() if wanted.since_power_on else events)


def _resumed(session: Session, bench: Bench, wanted: scenario.Resumed) -> str | None:
    region = damage.root_region(session.images[wanted.image].cosi)
    timeline = bench.record.timeline if bench.record else ()
    events = [event for event in timeline if event.id > session.restart_floor]
    return checks.resumed(events, region.offset, region.size)


def disk_unchanged(_session: Session, bench: Bench, wanted: scenario.CheckDisk) -> str | None:
    """Whether a disk of a powered-off machine is as it was before the first power-on."""
    now = disks.sha384(bench.disk(wanted.serial).image)
    return None if now == bench.initial_sha384[wanted.serial] else "the disk changed"


KEYS: dict[str, Callable[[Session, Bench, Any], str | None]] = {
    "state": lambda _session, bench, wanted: checks.state(wanted, bench.record),
    "timeline": _timeline,
    "console": lambda _session, bench, wanted: checks.text(wanted, bench.machine.console.text()),
    "hostStatus": lambda _session, bench, wanted: checks.host_status(wanted, bench.record),
    "bootEntries": lambda _session, bench, wanted: checks.boot_entries(
        wanted, bench.machine.nvram()
    ),
    "diskUnchanged": disk_unchanged,
    "guest": lambda session, _bench, wanted: checks.guest(wanted, session.run(wanted)),
    "resumed": _resumed,
    "started": lambda _session, bench, wanted: checks.started(wanted, bench.started()),
    "lastError": lambda _session, bench, wanted: checks.last_error(wanted, bench.record),
}
