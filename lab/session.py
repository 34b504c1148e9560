"""A scenario that runs: its machines, boot server and images, and what was seen of them so far."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import damage, placeholders, qemu, scenario, waiting
from lab.artifacts import OsImage
from lab.certificates import Authority
from lab.console import Answer
from lab.errors import LabError, ScenarioFailed
from lab.machine import Machine
from lab.neighbours import mirror_url
from lab.network import Rack
from lab.record import Event, HostRecord
from lab.report import CutRow, Output
from lab.server import BASE_URL, BootServer

_DEFAULT_CONFIGURATION = Path(__file__).parent / "files" / "host-configuration.yaml"
_MEDIUM_URL = "file:///run/trident/medium/images"
_OBSERVE_EVERY_S = 1.0
_PROGRESS_STEP = 0.1
_IMAGE_STEPS = "storage/image/"
_LINE = 140
_UNTOLD = frozenset(
    {"run", "sequence", "time", "operation", "xid", "uuid", "relay", "vendorClass", "message"}
    | {"architectureCode", "durationS"}
)
_SHELL_LIMIT_S = 120.0
_STARTED = re.compile(r'BdsDxe: starting Boot[0-9A-F]{4} "([^"]*)"')


class Narrator:
    """Prints what happens, each line with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """Print one line at once."""
        print(f"[{self.elapsed_s:7.1f} s] {text}", flush=True)


def event_line(event: Event) -> str:
    """One timeline event in one line, without what repeats itself on every line."""
    told = [f"{key}={value}" for key, value in event.detail.items() if key not in _UNTOLD]
    line = " ".join([f"{event.source:5} {event.event}", *told])
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."


@dataclass
class Bench:
    """One machine under test and what the boot server last said of it."""

    spec: scenario.Machine
    machine: Machine
    record: HostRecord | None = None
    initial_sha384: dict[str, str] = field(default_factory=dict)
    """Of the disks whose change matters, by serial."""
    event_floor: int = 0
    """Id of the last event before the last power-on."""
    _told_event: int = 0
    _told_progress: float = -1.0
    _observed_at: float = field(default=0.0)

    def observe(self, server: BootServer, narrator: Narrator) -> None:
        """Look at the console and the server (at most once a second); tell what is new.

        Raises InfrastructureFailed when the guest's kernel crashed.
        """
        if time.monotonic() - self._observed_at < _OBSERVE_EVERY_S:
            return
        self._observed_at = time.monotonic()
        self.machine.console.raise_crash(self.machine.power_on_offset)
        record = self.refresh(server)
        if record is None:
            return
        for event in record.timeline:
            if event.id > self._told_event:
                self._told_event = event.id
                self._tell_event(event, narrator)
        self._tell_progress(record, narrator)

    def refresh(self, server: BootServer) -> HostRecord | None:
        """Ask the server anew; None when it is down or does not know the machine."""
        record = server.record(self.spec.mac) if server.is_running else None
        self.record = record or self.record
        return record

    def disk(self, serial: str) -> qemu.Disk:
        """A disk by its serial. Raises LabError."""
        for disk in self.machine.hardware.disks:
            if disk.serial == serial:
                return disk
        raise LabError(f"{self.spec.name} has no disk with the serial {serial}")

    def new_events(self) -> list[Event]:
        """The timeline since the last power-on."""
        timeline = self.record.timeline if self.record else ()
        return [event for event in timeline if event.id > self.event_floor]

    def started(self) -> tuple[str, ...]:
        """Titles of the boot entries that UEFI firmware started (it says so on the console)."""
        return tuple(_STARTED.findall(self.machine.console.text()))

    def _tell_event(self, event: Event, narrator: Narrator) -> None:
        if event.event != "step-progress":
            narrator.say(f"{self.spec.name}: {event_line(event)}")

    def _tell_progress(self, record: HostRecord, narrator: Narrator) -> None:
        if record.progress is None or record.state != "installing":
            return
        fraction = record.progress.fraction
        if not self._told_progress <= fraction < self._told_progress + _PROGRESS_STEP:
            self._told_progress = fraction
            narrator.say(f"{self.spec.name}: {record.progress.step} {fraction:4.0%}")


@dataclass
class Logged:
    """Beside a disk's log of writes: where to begin, and the NVRAM as it was at which point."""

    begin: int
    """Size of the log when replaying begins to matter, in bytes."""
    nvram: list[tuple[int, bytes]] = field(default_factory=list)
    """Each version, with the size of the log when it appeared."""


@dataclass
class Session:
    """Everything a step can act on."""

    wanted: scenario.Scenario
    rack: Rack
    server: BootServer
    benches: Mapping[str, Bench]
    images: Mapping[str, OsImage]
    extensions: Mapping[str, str]
    """SHA-384 of each extension image, by name."""
    files: Path
    """The folder behind the boot server's /files/."""
    snapshots: Path
    narrator: Narrator
    deadline: float
    """time.monotonic() at which the scenario's own limit is reached."""
    mirror_authority: Authority | None = None
    """Whose certificate the mirror shows, if it speaks HTTPS."""
    restart_floor: int = 0
    """Id of the last event before the boot server was started again."""
    outputs: list[Output] = field(default_factory=list)
    cuts: list[CutRow] = field(default_factory=list)
    """What came of the power cuts."""
    recorded: dict[str, list[Path]] = field(default_factory=dict)
    """Folders of the recorded cuts, by machine."""
    logged: dict[str, Logged] = field(default_factory=dict)
    """What is known of logged disks beside their logs, by machine."""

    def bench(self, name: str | None) -> Bench:
        """A machine by name; the first one for None."""
        return self.benches[name] if name else next(iter(self.benches.values()))

    def until(self, bench: Bench, probe: Callable[[], bool], *, limit_s: float, what: str) -> None:
        """Wait while telling what happens to the machine. Raises as `waiting.until`."""

        def look() -> bool:
            bench.observe(self.server, self.narrator)
            return probe()

        left_s = max(self.deadline - time.monotonic(), 0.0)
        if left_s < limit_s:
            what += f" (the scenario's limit of {self.wanted.limit_seconds:g} s is near)"
        waiting.until(look, limit_s=min(limit_s, left_s), what=what)

    def wait(self, condition: scenario.Condition) -> None:
        """Wait for a condition. A machine that failed or ended is not waited for any longer."""
        bench = self.bench(condition.machine)
        if condition.shell:
            offset = bench.machine.power_on_offset
            bench.machine.console.wait_for_shell(condition.limit_seconds, since=offset)
            return
        what = condition.model_dump_json(by_alias=True, exclude_none=True)
        limit_s = condition.limit_seconds
        self.until(bench, lambda: self.holds(condition), limit_s=limit_s, what=what)

    def holds(self, condition: scenario.Condition, since: int | None = None) -> bool:
        """Whether a condition (no shell) holds now. Raises ScenarioFailed when it never will.

        The console counts from byte `since` of its log on; None: from the last power-on.
        """
        bench = self.bench(condition.machine)
        if condition.console is not None:
            offset = bench.machine.power_on_offset if since is None else since
            text = bench.machine.console.text(offset)
            return re.search(condition.console, text) is not None
        if condition.event is not None:
            return condition.event in [event.name for event in bench.new_events()]
        return self._record_holds(bench, condition)

    def run(self, command: scenario.GuestCommand) -> Answer:
        """Run a command in the root shell on the serial console, which may have to come up."""
        bench = self.bench(command.machine)
        console = bench.machine.console
        console.wait_for_shell(_SHELL_LIMIT_S, since=bench.machine.power_on_offset)
        text = placeholders.fill_known(command.command, self.values(bench.spec))
        answer = console.run(text, limit_s=command.limit_seconds)
        output = Output(bench.spec.name, command.command, answer.status, answer.output)
        self.outputs.append(output)
        return answer

    def host_configuration(
        self, spec: scenario.Machine, given: dict[str, Any] | None
    ) -> dict[str, Any]:
        """A Host Configuration with its placeholders filled; None is the lab's default."""
        if given is None:
            given = yaml.safe_load(_DEFAULT_CONFIGURATION.read_text(encoding="utf-8"))
        filled: dict[str, Any] = placeholders.fill(given, self.values(spec))
        return filled

    def values(self, spec: scenario.Machine) -> dict[str, str]:
        """The placeholders of a machine's Host Configuration and of commands on it."""
        values = {
            "server.url": BASE_URL,
            "mirror.url": mirror_url(tls=self.mirror_authority is not None),
            "machine.name": spec.name,
            "machine.mac": spec.mac,
        }
        if self.mirror_authority is not None:
            values["mirror.authority"] = str(self.mirror_authority.certificate)
        for name, image in self.images.items():
            on_medium = spec.medium is not None and name in spec.medium.images
            place = _MEDIUM_URL if on_medium else f"{BASE_URL}/files"
            values[f"{name}.url"] = f"{place}/{name}.cosi"
            values[f"{name}.sha384"] = image.sha384
        for name, sha384 in self.extensions.items():
            values[f"{name}.url"] = f"{BASE_URL}/files/{name}.raw"
            values[f"{name}.sha384"] = sha384
        for disk in reversed(spec.disks):
            values["disk.device"] = placeholders.device(disk.bus, disk.serial)
            values[f"disk.{disk.serial}"] = values["disk.device"]
        return values

    def needs_off(self, bench: Bench, what: str) -> None:
        """Raises LabError while the machine is on."""
        if bench.machine.is_on:
            hint = "put a powerOff or cutPower step before it"
            raise LabError(f"{what} needs {bench.spec.name} to be off", hint=hint)

    def declare(self, bench: Bench, configuration: dict[str, Any]) -> str | None:
        """Store a Host Configuration at the server; None, or what it said when it refused."""
        result = self.server.declare(bench.spec.mac, bench.spec.name, configuration)
        return None if result.returncode == 0 else (result.stderr or result.stdout).strip()

    def serve(self, name: str) -> None:
        """Put an image (or its damaged copy) into the served folder."""
        spec = self.wanted.images[name]
        served = self.files / f"{name}.cosi"
        if not spec.served:
            return
        if spec.damage is not None:
            damage.damaged_copy(self.images[name].cosi, served, spec.damage)
        else:
            shutil.copyfile(self.images[name].cosi, served)

    def _record_holds(self, bench: Bench, condition: scenario.Condition) -> bool:
        record = bench.record
        bench.machine.console.raise_stopped(bench.machine.power_on_offset)
        if record is None:
            return False
        if record.state == "failed" and condition.state != "failed":
            raise ScenarioFailed(f"{bench.spec.name} failed: {record.last_error}")
        if not bench.machine.is_on:
            raise ScenarioFailed(f"{bench.spec.name} is off")
        if condition.progress is not None:
            return _image_fraction(record) >= condition.progress
        return str(record.state) == condition.state


def _image_fraction(record: HostRecord) -> float:
    """How much of the file system image that is being written is on the disk: 0 to 1."""
    progress = record.progress
    if progress is None or not progress.step.startswith(_IMAGE_STEPS):
        return 0.0
    return progress.fraction
