"""What came of a scenario: values, their JSON form, and the exit status they stand for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lab.firmware import Nvram
from lab.offline import Found
from lab.record import Event


class Result(StrEnum):
    """How a run ended; infrastructure is the virtual hardware's fault, not the product's."""

    PASSED = "passed"
    FAILED = "failed"
    INFRASTRUCTURE = "infrastructure"
    ERROR = "error"
    """The lab could not even try."""


EXIT_STATUS = {Result.PASSED: 0, Result.FAILED: 1, Result.ERROR: 2, Result.INFRASTRUCTURE: 3}


@dataclass(frozen=True)
class StepTime:
    """A step that was carried out, and how long it took."""

    step: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class Output:
    """A guest command of a `run` step and what it printed."""

    machine: str
    command: str
    status: int
    output: str

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "command": self.command,
            "status": self.status,
            "output": self.output,
        }


@dataclass(frozen=True)
class CutRow:
    """A power cut: where, what it left, and what came of it."""

    marker: str
    found: Found
    started: tuple[str, ...]
    """Titles of the boot entries that the firmware started afterwards."""
    complaint: str | None
    """None: all steps after the cut did what they should."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "marker": self.marker,
            "found": self.found.to_json(),
            "started": list(self.started),
            "complaint": self.complaint,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Verdict:
    """One expectation; `complaint` is None when it holds."""

    expectation: str
    complaint: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "expectation": self.expectation,
            "holds": self.complaint is None,
            "complaint": self.complaint,
        }


@dataclass(frozen=True)
class MachineReport:
    """The last known state of a machine and its evidence."""

    name: str
    mac: str
    state: str | None
    host_status: str | None
    timeline: tuple[Event, ...]
    nvram: Nvram | None
    started: tuple[str, ...]
    """Titles of the boot entries that the firmware started, oldest first."""
    serial_log: str

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "mac": self.mac,
            "state": self.state,
            "hostStatus": self.host_status,
            "timeline": [event.model_dump(by_alias=True) for event in self.timeline],
            "bootEntries": self.nvram.to_json() if self.nvram else None,
            "started": list(self.started),
            "serialLog": self.serial_log,
        }


@dataclass
class Report:
    """Everything about one run of a scenario."""

    scenario: str
    started: str
    result: Result = Result.ERROR
    reason: str | None = None
    seconds: float = 0.0
    steps: list[StepTime] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    cuts: list[CutRow] = field(default_factory=list)
    machines: list[MachineReport] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "scenario": self.scenario,
            "result": str(self.result),
            "reason": self.reason,
            "startedAt": self.started,
            "seconds": round(self.seconds, 1),
            "steps": [step.to_json() for step in self.steps],
            "outputs": [output.to_json() for output in self.outputs],
            "expectations": [verdict.to_json() for verdict in self.verdicts],
            "cuts": [cut.to_json() for cut in self.cuts],
            "machines": [machine.to_json() for machine in self.machines],
        }


def write(path: Path, value: dict[str, Any]) -> None:
    """Write a report file; its folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
