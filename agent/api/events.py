"""Typed events: where an operation stands. They feed reports, timelines and progress bars.

Events are not logs: logs say why. JSON is the wire form (`type` discriminates, UTC times,
camelCase keys); the boot server parses them with these same models. Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel


class EventModel(BaseModel):
    """Base of all events: frozen, unknown keys refused, camelCase on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,
    )

    run: str
    """Random identifier of one agent run; `sequence` counts within it from 1."""
    sequence: int = Field(ge=1)
    time: datetime
    operation: str
    """`install`, `commit`, `update` ..."""


class OperationStarted(EventModel):
    type: Literal["operation-started"] = "operation-started"
    version: str
    """Version of the agent."""


class StepStarted(EventModel):
    type: Literal["step-started"] = "step-started"
    step: str
    """Stable name, `storage/partitions` for example."""
    message: str


class StepProgress(EventModel):
    type: Literal["step-progress"] = "step-progress"
    step: str
    done_bytes: int = Field(ge=0)
    total_bytes: int = Field(ge=0)


class StepDone(EventModel):
    type: Literal["step-done"] = "step-done"
    step: str
    duration_s: float = Field(ge=0)


class StepFailed(EventModel):
    type: Literal["step-failed"] = "step-failed"
    step: str
    duration_s: float = Field(ge=0)


class OperationDone(EventModel):
    type: Literal["operation-done"] = "operation-done"
    servicing_state: str
    """The Host Status' servicingState at the end."""
    reboot: bool
    """Whether the agent reboots the machine next."""


class OperationFailed(EventModel):
    type: Literal["operation-failed"] = "operation-failed"
    kind: str
    code: str
    message: str
    hint: str | None = None
    context: tuple[str, ...] = ()


Event = Annotated[
    OperationStarted
    | StepStarted
    | StepProgress
    | StepDone
    | StepFailed
    | OperationDone
    | OperationFailed,
    Field(discriminator="type"),
]

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event, config=ConfigDict(defer_build=True))


def parse_json(data: bytes | str) -> Event:
    """Parse one event from its wire form. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(data)


def dump_json(event: Event) -> str:
    """The wire form of one event: one line of JSON."""
    return event.model_dump_json(by_alias=True)
