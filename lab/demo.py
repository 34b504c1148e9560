"""The demonstration: the scenario `files/demo.yaml`, told to a person.

Its report holds the timeline, the Host Status as read from the guest over the serial line, and the
boot entries as read from NVRAM while the machine was off.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from lab import paths, report, runner, scenario
from lab.errors import LabError
from lab.qemu import BootFirst
from lab.report import EXIT_STATUS, Report, Result
from lab.server import BASE_URL
from lab.session import Session

_SCENARIO = Path(__file__).parent / "files" / "demo.yaml"
_STATUS_COMMAND = "trident get status"


def run(path: Path | None) -> int:
    """Run the demonstration and take everything down; the exit status."""
    return _finish(runner.run("demo", scenario.load(_SCENARIO)), path)


def run_kept(path: Path | None) -> int:
    """Run the demonstration; machine and boot server stay up in a process of their own.

    That process ends, and takes everything down, when `stop` is called.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        told = os.read(reading, 1)
        return told[0] if told else EXIT_STATUS[Result.ERROR]
    os.close(reading)

    def hold(session: Session, told: Report) -> None:
        status = _finish(told, path)
        session.bench(None).machine.power_on(BootFirst.DISK)
        _explain(session)
        os.write(writing, bytes([status]))
        _wait_for_stop()

    try:
        runner.run("demo", scenario.load(_SCENARIO), afterwards=hold)
    finally:
        _kept_note().unlink(missing_ok=True)
    os._exit(0)


def stop() -> int:
    """End a kept demonstration. Raises LabError when there is none."""
    try:
        os.kill(int(_kept_note().read_text()), signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        raise LabError("no kept demonstration is running") from None
    return 0


def to_json(told: Report) -> dict[str, Any]:
    """The demonstration's report: `result` is `provisioned` when everything held."""
    machine = told.machines[0].to_json() if told.machines else {}
    statuses = [one.output for one in told.outputs if one.command == _STATUS_COMMAND]
    passed = told.result is Result.PASSED
    return told.to_json() | {
        "result": "provisioned" if passed else str(told.result),
        "timeline": machine.get("timeline", []),
        "hostStatus": statuses[-1] if statuses else None,
        "bootEntries": machine.get("bootEntries"),
    }


def summary(told: dict[str, Any]) -> str:
    """The end of the story as text: timeline, boot entries, Host Status."""
    lines = ["", "Timeline"]
    lines += [
        f"  {event['time'][11:23]}  {event['source']:8} {event['event']}"
        for event in told["timeline"]
    ]
    entries = told["bootEntries"] or {"bootOrder": [], "entries": []}
    titles = {entry["number"]: entry["title"] for entry in entries["entries"]}
    lines += ["", "Boot entries (NVRAM, in BootOrder)"]
    lines += [f"  Boot{number}  {titles.get(number, '?')}" for number in entries["bootOrder"]]
    lines += ["", "Host Status (from the guest)", told["hostStatus"] or "  none"]
    return "\n".join(lines)


def _finish(told: Report, path: Path | None) -> int:
    story = to_json(told)
    if path is not None:
        report.write(path, story)
    print(summary(story))
    print(f"\nresult: {story['result']} after {story['seconds']:.0f} s")
    if told.reason:
        print(f"reason: {told.reason}")
    if path is not None:
        print(f"report: {path}")
    return EXIT_STATUS[told.result]


def _explain(session: Session) -> None:
    console = session.bench(None).machine.console
    inside = f"sudo ip netns exec {session.rack.name}"
    print(
        "\nEverything keeps running. To look around:\n"
        f"  {inside} curl -s {BASE_URL}/v1/hosts\n"
        f"  tail -f {console.log}\n"
        f"  sudo sh -c 'cat >{console.line.input}'   (types into the root shell there)\n"
        "and to end it:\n"
        "  sudo .venv/bin/trident-lab stop",
        flush=True,
    )


def _wait_for_stop() -> None:
    """Leave the terminal to the parent's caller and sleep until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    _kept_note().write_text(str(os.getpid()), encoding="ascii")
    os.setsid()
    with open(os.devnull, "r+b") as nothing:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            os.dup2(nothing.fileno(), stream.fileno())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def _kept_note() -> Path:
    return paths.build("demo") / "kept.pid"
