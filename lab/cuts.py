"""Power cuts: what each would leave is kept while a machine runs, and tried one after the other.

`blockdev-snapshot-sync` freezes the disks: a paused machine has no request under way, and what it
wrote later goes into new overlays. A cut is a folder with the frozen disks and a copy of the NVRAM.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.linux.run import run
from lab import offline, qemu, scenario, waiting, writelog
from lab.errors import LabError, ScenarioFailed
from lab.offline import Found
from lab.qmp import Qmp
from lab.report import CutRow
from lab.session import Bench, Session

Perform = Callable[[Session, scenario.Step], None]
_POLL_S = 0.002
_LOOK_S = 0.5
_MARKER = "marker"
_NVRAM = "nvram.fd"


def record(session: Session, value: scenario.RecordCuts) -> None:
    """Keep cuts until the condition holds. The machine is off afterwards."""
    bench = session.bench(value.machine)
    recorder = _Recorder(bench, re.compile(value.marker))
    with bench.machine.qmp() as qmp:
        watch(session, bench, value.until, lambda: recorder.look(qmp))
    bench.machine.power_cut()
    session.recorded.setdefault(bench.spec.name, []).extend(recorder.folders)
    session.narrator.say(f"{bench.spec.name}: {len(recorder.folders)} power cuts recorded")


def watch(
    session: Session, bench: Bench, until: scenario.Condition, look: Callable[[], None]
) -> None:
    """Call `look` every two milliseconds until the condition holds (the console: from now on)."""
    looked_at, since = 0.0, bench.machine.console.size()

    def ended() -> bool:
        nonlocal looked_at
        look()
        if time.monotonic() - looked_at < _LOOK_S:
            return False
        looked_at = time.monotonic()
        bench.observe(session.server, session.narrator)
        return session.holds(until, since)

    what = until.model_dump_json(by_alias=True, exclude_none=True)
    waiting.until(ended, limit_s=until.limit_seconds, what=what, poll_s=_POLL_S)


def each(
    session: Session,
    value: scenario.EachCut,
    perform: Perform,
) -> None:
    """Try every recorded cut. Raises ScenarioFailed at the end when any of them failed."""
    bench = session.bench(value.machine)
    session.needs_off(bench, "trying power cuts")
    folders = session.recorded.get(bench.spec.name, [])
    if not folders:
        raise LabError("no power cut was recorded", hint="put a recordCuts step before it")
    found = [_found(bench, folder) for folder in folders]
    states = [one.combination for one in found]
    chosen = choose(states, value.most)
    session.narrator.say(f"{len(set(states))} distinct states; {len(chosen)} power cuts are tried")
    rows = []
    for number, (folder, one) in enumerate(zip(folders, found, strict=True)):
        name = f"cut {folder.name} '{(folder / _MARKER).read_text()}'"
        if number in chosen:
            _restore(bench, folder)
            rows.append(tried(session, bench, name, one, value.steps, perform))
        else:
            rows.append(CutRow(name, one, (), one.unsound, 0.0))
    conclude(session, rows)


def choose(states: Sequence[str], most: int) -> set[int]:
    """Which cuts to try: the first of each state, then others evenly spread. Pure."""
    first = sorted({state: number for number, state in reversed(list(enumerate(states)))}.values())
    rest = [number for number in range(len(states)) if number not in first]
    return {*first[:most], *writelog.spread(rest, max(most - len(first), 0))}


def conclude(session: Session, rows: Sequence[CutRow]) -> None:
    """Keep the rows for the report. Raises ScenarioFailed when any of them failed."""
    session.cuts.extend(rows)
    wrong = [row for row in rows if row.complaint is not None]
    if wrong:
        told = "; ".join(f"{row.marker}: {row.complaint}" for row in wrong)
        raise ScenarioFailed(f"{len(wrong)} of {len(rows)} power cuts: {told}")


class _Recorder:
    """Watches the console of one machine and keeps a cut at each marker."""

    def __init__(self, bench: Bench, marker: re.Pattern[str]) -> None:
        self.folders: list[Path] = []
        self._machine = bench.machine
        self._marker = marker
        self._offset = bench.machine.console.size()

    def look(self, qmp: Qmp) -> None:
        """Keep one cut when new whole lines match; of several, the last one names it."""
        if self._machine.console.size() == self._offset:
            return
        text = self._machine.console.text(self._offset)
        lines, newline, _ = text.rpartition("\n")
        found = list(self._marker.finditer(lines))
        if not newline or not found:
            return
        self._offset = self._machine.console.size()
        self._keep(qmp, (found[-1].group(1) if self._marker.groups else found[-1].group()))

    def _keep(self, qmp: Qmp, marker: str) -> None:
        folder = self._machine.folder / "cuts" / f"{len(self.folders) + 1:03}"
        folder.mkdir(parents=True)
        frozen, going_on = [], []
        qmp.execute("stop")
        try:
            for number, disk in enumerate(self._machine.hardware.disks):
                overlay = folder / f"{disk.serial}.qcow2"
                qmp.execute(
                    "blockdev-snapshot-sync",
                    device=f"disk{number}",
                    snapshot_file=str(overlay),
                    format="qcow2",
                )
                frozen.append(f"{disk.serial} {disk.format} {disk.image}\n")
                going_on.append(dataclasses.replace(disk, image=overlay, format="qcow2"))
            shutil.copyfile(self._machine.nvram_path, folder / _NVRAM)
        finally:
            qmp.execute("cont")
        self._machine.hardware = dataclasses.replace(self._machine.hardware, disks=tuple(going_on))
        (folder / "disks").write_text("".join(frozen))
        (folder / _MARKER).write_text(marker)
        self.folders.append(folder)


def _found(bench: Bench, folder: Path) -> Found:
    """What a cut left; the machine has it then."""
    return offline.examine(_restore(bench, folder)[0].image, folder / _NVRAM)


def tried(
    session: Session,
    bench: Bench,
    marker: str,
    found: Found,
    steps: tuple[scenario.Step, ...],
    perform: Perform,
) -> CutRow:
    """Carry out the steps on a machine that has the disks and NVRAM of a cut, then discard those.

    A step that fails is told in the row and not raised.
    """
    session.narrator.say(
        f"{marker}: {found.servicing_state}, BootNext {found.boot_next},"
        f" BootOrder {','.join(found.boot_order)}, {found.combination}"
    )
    before, started = len(bench.started()), time.monotonic()
    complaint = None
    try:
        for step in steps:
            perform(session, step)
    except ScenarioFailed as error:
        complaint = error.message
        session.narrator.say(f"{marker}: {complaint}")
    finally:
        bench.machine.power_cut()
    for disk in bench.machine.hardware.disks:
        disk.image.unlink()
    seconds = time.monotonic() - started
    return CutRow(marker, found, bench.started()[before:], complaint, seconds)


def _restore(bench: Bench, folder: Path) -> tuple[qemu.Disk, ...]:
    """Give the machine (off) what the cut left, as overlays that can be thrown away."""
    kept = {}
    for line in (folder / "disks").read_text().splitlines():
        serial, form, frozen = line.split(" ", 2)
        kept[serial] = (form, frozen)
    disks = tuple(
        overlaid(disk, *kept[disk.serial], folder) for disk in bench.machine.hardware.disks
    )
    bench.machine.hardware = dataclasses.replace(bench.machine.hardware, disks=disks)
    shutil.copyfile(folder / _NVRAM, bench.machine.nvram_path)
    return disks


def overlaid(disk: qemu.Disk, form: str, frozen: str, folder: Path) -> qemu.Disk:
    """The disk with a new overlay in `folder` over the image `frozen` of format `form`."""
    overlay = folder / f"{disk.serial}.tried.qcow2"
    overlay.unlink(missing_ok=True)
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", frozen, str(overlay)])
    return dataclasses.replace(disk, image=overlay, format="qcow2", write_log=None)
