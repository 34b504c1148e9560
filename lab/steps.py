"""The steps of a scenario: one function a verb, acting on the session."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Any

from lab import checks, cuts, damage, disks, firmware, qemu, replays, scenario, verify
from lab.errors import ScenarioFailed
from lab.session import Session


def perform(session: Session, step: scenario.Step) -> None:
    """Carry out one step. Raises ScenarioFailed, InfrastructureFailed, LabError."""
    VERBS[step.verb](session, step.value)


def _power_on(session: Session, value: scenario.PowerOn) -> None:
    bench = session.bench(value.machine)
    events = bench.record.timeline if bench.record else ()
    bench.event_floor = events[-1].id if events else 0
    bench.machine.power_on(value.first)


def _power_off(session: Session, value: scenario.OnMachine) -> None:
    session.bench(value.machine).machine.power_down()


def _reset(session: Session, value: scenario.OnMachine) -> None:
    session.bench(value.machine).machine.reset()


def _cut_power(session: Session, value: scenario.CutPower) -> None:
    if value.when is not None:
        session.wait(value.when)
    session.bench(value.machine).machine.power_cut()


def _run(session: Session, value: scenario.GuestCommand) -> None:
    complaint = checks.guest(value, session.run(value))
    if complaint:
        raise ScenarioFailed(f"in the guest, {value.command!r} {complaint}")


def _damage(session: Session, value: dict[str, scenario.Damage]) -> None:
    for name, how in value.items():
        damage.damaged_copy(session.images[name].cosi, session.files / f"{name}.cosi", how)


def _stop_server(session: Session, value: scenario.StopServer) -> None:
    if value.when is not None:
        session.wait(value.when)
    session.server.stop(kill=value.kill)


def _start_server(session: Session, _value: scenario.Nothing) -> None:
    known = [bench.record.timeline[-1].id for bench in session.benches.values() if bench.record]
    session.restart_floor = max(known, default=0)
    session.server.start()


def _set_host_configuration(session: Session, value: scenario.SetHostConfiguration) -> None:
    bench = session.bench(value.machine)
    configuration = session.host_configuration(bench.spec, value.host_configuration)
    refusal = session.declare(bench, configuration)
    if value.refused is None and refusal is not None:
        raise ScenarioFailed(f"the boot server refused a Host Configuration: {refusal}")
    if value.refused is not None and not re.search(value.refused, refusal or ""):
        raise ScenarioFailed(f"no refusal with /{value.refused}/ but: {refusal or 'accepted'}")


def _reinstall(session: Session, value: scenario.OnMachine) -> None:
    result = session.server.command("hosts", "reinstall", session.bench(value.machine).spec.mac)
    if result.returncode != 0:
        raise ScenarioFailed(f"hosts reinstall: {result.stderr.strip()}")


def _snapshot(session: Session, value: scenario.Snapshot) -> None:
    bench = session.bench(value.machine)
    session.needs_off(bench, "a snapshot")
    machine = bench.machine
    disks.keep(machine.hardware.disks, machine.nvram_path, session.snapshots / value.name)


def _network_first(session: Session, value: scenario.OnMachine) -> None:
    bench = session.bench(value.machine)
    session.needs_off(bench, "changing the boot order")
    firmware.put_network_first(bench.machine.nvram_path)


def _serve(session: Session, value: scenario.Serve) -> None:
    shutil.copyfile(session.images[value.image].cosi, session.files / f"{value.image}.cosi")


def _disk_unchanged(session: Session, value: scenario.CheckDisk) -> None:
    bench = session.bench(value.machine)
    session.needs_off(bench, "reading a disk")
    complaint = verify.disk_unchanged(session, bench, value)
    if complaint is not None:
        raise ScenarioFailed(f"{bench.spec.name}: {complaint}")


def _cable(session: Session, value: scenario.Cable) -> None:
    with session.bench(value.machine).machine.qmp() as qmp:
        qmp.execute("set_link", name=qemu.netdev(0), up=value.plugged)


def _served_medium(session: Session, value: scenario.ServedMedium) -> None:
    bench = session.bench(value.machine)
    complaint = checks.served_medium(
        value, session.server.record(bench.spec.mac), session.server.sha384
    )
    if complaint is not None:
        raise ScenarioFailed(f"{bench.spec.name}: {complaint}")


VERBS: dict[str, Callable[[Session, Any], None]] = {
    "powerOn": _power_on,
    "powerOff": _power_off,
    "reset": _reset,
    "cutPower": _cut_power,
    "wait": lambda session, value: session.wait(value),
    "pressKeys": lambda session, value: session.bench(value.machine).machine.console.type(
        value.keys
    ),
    "cable": _cable,
    "run": _run,
    "damage": _damage,
    "serve": _serve,
    "stopServer": _stop_server,
    "startServer": _start_server,
    "setHostConfiguration": _set_host_configuration,
    "reinstall": _reinstall,
    "snapshot": _snapshot,
    "diskUnchanged": _disk_unchanged,
    "networkFirst": _network_first,
    "servedMedium": _served_medium,
    "recordCuts": cuts.record,
    "eachCut": lambda session, value: cuts.each(session, value, perform),
    "logWrites": replays.record,
    "eachFlush": lambda session, value: replays.each(session, value, perform),
}
