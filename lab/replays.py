"""Power cuts between any two flushes: a disk's log of writes is replayed up to each of them.

The NVRAM is a file of its own and not in the log: its versions are kept with the size that the log
had when they appeared. Most flushes are only examined on the host; some are booted.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run
from lab import cuts, offline, qemu, scenario, writelog
from lab.cuts import Perform
from lab.errors import LabError
from lab.offline import Found
from lab.report import CutRow
from lab.session import Bench, Logged, Session
from lab.writelog import Entry

_CONVERT_LIMIT_S = 300.0
_NVRAM = "replayed-nvram.fd"


def record(session: Session, value: scenario.LogWrites) -> None:
    """Let the machine run until the condition holds, then pull the plug, unless more follows."""
    bench = session.bench(value.machine)
    log = _log(bench)
    logged = session.logged.setdefault(bench.spec.name, Logged(begin=log.stat().st_size))

    def look() -> None:
        size, now = log.stat().st_size, bench.machine.nvram_path.read_bytes()
        if not logged.nvram or logged.nvram[-1][1] != now:
            logged.nvram.append((size, now))

    cuts.watch(session, bench, value.until, look)
    if value.power_cut:
        bench.machine.power_cut()
    session.narrator.say(
        f"{bench.spec.name}: {log.stat().st_size >> 20} MiB of writes,"
        f" {len(logged.nvram)} versions of the NVRAM"
    )


def each(session: Session, value: scenario.EachFlush, perform: Perform) -> None:
    """Examine and boot flushes. Raises ScenarioFailed at the end when anything did not hold."""
    bench = session.bench(value.machine)
    session.needs_off(bench, "replaying writes")
    logged = session.logged.get(bench.spec.name)
    if logged is None:
        raise LabError("no writes were logged", hint="put a logWrites step before it")
    replay = _Replaying(session, bench, logged, value, perform)
    cuts.conclude(session, replay.rows())


def nvram_at(logged: Logged, size: int) -> bytes:
    """The NVRAM as it was when the log had this size."""
    return [now for at, now in logged.nvram if at <= size][-1]


def complaint(found: Found, first: Found, keeps: re.Pattern[str]) -> str | None:
    """What is wrong with the state at a flush; None when it is a state to boot from. Pure."""
    if found.unsound is not None:
        return found.unsound
    lost = {one for one in first.esp if keeps.search(one.split(" ")[0])} - set(found.esp)
    return f"changed on the ESP: {', '.join(sorted(lost))}" if lost else None


def _log(bench: Bench) -> Path:
    disks = bench.machine.hardware.disks
    if len(disks) != 1 or disks[0].write_log is None:
        raise LabError(f"{bench.spec.name} must have one disk, with logWrites")
    return disks[0].write_log


class _Replaying:
    """One pass over the log."""

    def __init__(
        self,
        session: Session,
        bench: Bench,
        logged: Logged,
        value: scenario.EachFlush,
        perform: Perform,
    ) -> None:
        self._session = session
        self._bench = bench
        self._logged = logged
        self._value = value
        self._perform = perform
        self._disk = bench.machine.hardware.disks[0]
        self._raw = bench.machine.folder / "replayed.raw"
        self._nvram = bench.machine.folder / _NVRAM

    def rows(self) -> list[CutRow]:
        entries = writelog.read(_log(self._bench))
        flushes = [
            index
            for index, entry in enumerate(entries)
            if entry.is_boundary and entry.end > self._logged.begin
        ]
        examined = writelog.spread(flushes, self._value.examine)
        booted = set(writelog.spread(examined, self._value.boot))
        self._session.narrator.say(
            f"{len(flushes)} flushes; {len(examined)} examined, {len(booted)} booted"
        )
        self._make_raw()
        watched = [offline.extents(self._raw, "raw")[name] for name in (offline.ESP, offline.STATE)]
        with writelog.Replay(_log(self._bench), entries, self._raw) as replay:
            return self._through(replay, entries, flushes, examined, booted, watched)

    def _through(
        self,
        replay: writelog.Replay,
        entries: Sequence[Entry],
        flushes: Sequence[int],
        examined: Sequence[int],
        booted: set[int],
        watched: Sequence[tuple[int, int]],
    ) -> list[CutRow]:
        rows: list[CutRow] = []
        first: Found | None = None
        found: Found | None = None
        for index in examined:
            applied = replay.up_to(index)
            fresh_nvram = self._put_nvram(entries[index])
            if found is None or fresh_nvram or _touches(applied, watched):
                found = offline.examine(self._raw, self._nvram, "raw")
            first = first or found
            marker = f"flush {flushes.index(index) + 1} of {len(flushes)}"
            wrong = complaint(found, first, re.compile(self._value.keeps))
            if wrong is None and index in booted:
                rows.append(self._boot(marker, found))
            else:
                rows.append(CutRow(marker, found, (), wrong, 0.0))
        return rows

    def _boot(self, marker: str, found: Found) -> CutRow:
        machine = self._bench.machine
        disk: qemu.Disk = cuts.overlaid(self._disk, "raw", str(self._raw), machine.folder)
        machine.hardware = dataclasses.replace(machine.hardware, disks=(disk,))
        machine.nvram_path.write_bytes(self._nvram.read_bytes())
        return cuts.tried(
            self._session, self._bench, marker, found, self._value.steps, self._perform
        )

    def _put_nvram(self, entry: Entry) -> bool:
        """Whether the NVRAM at this entry is another one than before."""
        now = nvram_at(self._logged, entry.end)
        changed = not self._nvram.exists() or self._nvram.read_bytes() != now
        self._nvram.write_bytes(now)
        return changed

    def _make_raw(self) -> None:
        """The disk as it was before the first write: the snapshot it began from."""
        spec = self._bench.spec.disks[0]
        kept = self._session.snapshots / str(spec.snapshot) / f"{spec.serial}.qcow2"
        run(
            ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(kept), str(self._raw)],
            timeout_s=_CONVERT_LIMIT_S,
        )


def _touches(entries: Sequence[Entry], extents: Sequence[tuple[int, int]]) -> bool:
    return any(
        entry.size and entry.start < start + size and start < entry.start + entry.size
        for entry in entries
        for start, size in extents
    )
