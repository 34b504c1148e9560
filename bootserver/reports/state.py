"""Where a machine stands, and how each report moves it. Pure.

`installed` is what the boot decision rests on. It is set when an install has finished or a commit
reported `provisioned`, and cleared only when an install starts: a failure never clears it, so a
machine that was installed is not installed again without an operator's grant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from agent.api import yamltext
from agent.api.events import (
    Event,
    OperationDone,
    OperationFailed,
    OperationStarted,
    StepProgress,
)

PROVISIONED: Final = "provisioned"
_INSTALLED_STATES: Final = frozenset((PROVISIONED, "clean-install-finalized"))
_RECORDED_TENTHS: Final = 10


class State(StrEnum):
    """The states of a machine, as the HTTP API names them."""

    NEW = "new"
    DECLARED = "declared"
    BOOTING = "booting"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    PROVISIONED = "provisioned"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """How far one step of the agent is."""

    step: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Record:
    """What the server remembers of one machine."""

    mac: str
    state: State = State.NEW
    installed: bool = False
    architecture: str | None = None
    uuid: str | None = None
    serial: str | None = None
    address: str | None = None
    last_error: Mapping[str, JsonValue] | None = None
    host_status: str | None = None
    progress: Progress | None = None

    def shown_state(self, declared: bool) -> State:
        """The state as operators see it: a declared machine that never booted is `declared`."""
        return State.DECLARED if declared and self.state is State.NEW else self.state


@dataclass(frozen=True)
class Seen:
    """The machine showed something of itself. None leaves what is known."""

    architecture: str | None = None
    uuid: str | None = None
    serial: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class BootStarted:
    """The machine was given a loader, or the script that starts the servicing image."""


@dataclass(frozen=True)
class ConfigurationTaken:
    """The machine fetched its Host Configuration: it is being installed from here on."""


class PhoneHome(BaseModel):
    """Upstream's phonehome report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Literal["started", "failed", "succeeded"]
    message: str = ""
    host_status: str | None = Field(default=None)


Report = Seen | BootStarted | ConfigurationTaken | PhoneHome | Event


def advance(record: Record, report: Report) -> Record:
    """The record after a report."""
    match report:
        case Seen():
            return _seen(record, report)
        case BootStarted():
            return _boot_started(record)
        case ConfigurationTaken():
            return replace(
                record, state=State.INSTALLING, installed=False, progress=None, last_error=None
            )
        case PhoneHome():
            return _phone_home(record, report)
        case OperationStarted():
            return _operation_started(record, report)
        case StepProgress():
            return replace(
                record, progress=Progress(report.step, report.done_bytes, report.total_bytes)
            )
        case OperationDone():
            return _operation_done(record, report)
        case OperationFailed():
            return _operation_failed(record, report)
        case _:
            return record


def worth_recording(before: Progress | None, event: Event) -> bool:
    """Whether the timeline keeps the event: of a step's progress, only each tenth."""
    if not isinstance(event, StepProgress):
        return True
    if before is None or before.step != event.step:
        return True
    return _tenths(before.done_bytes, before.total_bytes) != _tenths(
        event.done_bytes, event.total_bytes
    )


def servicing_state(host_status: str | None) -> str | None:
    """`servicingState` of a Host Status in YAML; None when it cannot be read."""
    return _status_field(host_status, "servicingState")


def active_volume(host_status: str | None) -> str | None:
    """`abActiveVolume` of a Host Status in YAML; None when it cannot be read."""
    return _status_field(host_status, "abActiveVolume")


def _status_field(host_status: str | None, key: str) -> str | None:
    if host_status is None:
        return None
    try:
        value = yamltext.parse(host_status).value
    except yamltext.YamlError:
        return None
    field = value.get(key) if isinstance(value, dict) else None
    return field if isinstance(field, str) else None


def _seen(record: Record, seen: Seen) -> Record:
    return replace(
        record,
        architecture=seen.architecture or record.architecture,
        uuid=seen.uuid or record.uuid,
        serial=seen.serial or record.serial,
        address=seen.address or record.address,
    )


def _boot_started(record: Record) -> Record:
    """An installed machine loads the same loader, to leave it again."""
    if record.installed:
        return record
    return replace(record, state=State.BOOTING, progress=None)


def _phone_home(record: Record, report: PhoneHome) -> Record:
    record = replace(record, host_status=report.host_status or record.host_status)
    match report.state:
        case "started":
            return record
        case "failed":
            error = record.last_error or {"message": report.message}
            state = record.state if record.state is State.PROVISIONED else State.FAILED
            return replace(record, state=state, last_error=error)
        case "succeeded":
            return _arrived(record, servicing_state(report.host_status))


def _operation_started(record: Record, event: OperationStarted) -> Record:
    if event.operation != "install":
        return record
    return replace(record, state=State.INSTALLING, installed=False, progress=None, last_error=None)


def _operation_done(record: Record, event: OperationDone) -> Record:
    arrived = _arrived(record, event.servicing_state)
    return replace(arrived, state=State.REBOOTING) if event.reboot else arrived


def _operation_failed(record: Record, event: OperationFailed) -> Record:
    error: dict[str, JsonValue] = {
        "operation": event.operation,
        "kind": event.kind,
        "code": event.code,
        "message": event.message,
        "hint": event.hint,
        "context": list(event.context),
    }
    decisive = event.operation in ("install", "commit")
    return replace(record, state=State.FAILED if decisive else record.state, last_error=error)


def _arrived(record: Record, servicing: str | None) -> Record:
    if servicing == PROVISIONED:
        return replace(
            record, state=State.PROVISIONED, installed=True, progress=None, last_error=None
        )
    if servicing in _INSTALLED_STATES:
        return replace(record, state=State.REBOOTING, installed=True, progress=None)
    return record


def _tenths(done: int, total: int) -> int:
    return done * _RECORDED_TENTHS // total if total else 0
