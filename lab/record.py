"""What the boot server says of a machine (`GET /v1/hosts/<mac>`), as the lab reads it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Event(_Model):
    """One line of a machine's timeline."""

    id: int
    time: str
    source: str
    event: str
    detail: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """`source/event`, the form scenarios use."""
        return f"{self.source}/{self.event}"


class Progress(_Model):
    """How far the current step of an installation is."""

    step: str
    done_bytes: int
    total_bytes: int

    @property
    def fraction(self) -> float:
        return self.done_bytes / self.total_bytes if self.total_bytes else 0.0


class Iso(_Model):
    """The machine's installation medium as the boot server serves it, or why there is none."""

    url: str
    installs: bool = False
    sha384: str | None = None
    problem: str | None = None


class HostRecord(_Model):
    """A machine as the boot server knows it."""

    mac: str
    name: str | None = None
    state: str
    declared: bool
    reinstall: bool = False
    address: str | None = None
    last_error: dict[str, Any] | None = None
    host_status: str | None = None
    progress: Progress | None = None
    iso: Iso | None = None
    timeline: tuple[Event, ...] = ()


def status_value(host_status: str | None, path: str) -> Any:
    """The value at `path` (`spec.storage.disks.0.id`) of a Host Status, or None."""
    value: Any = yaml.safe_load(host_status) if host_status else None
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def missing_in_order(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Those of `wanted` that do not occur in `names` in this order (others may lie between)."""
    remaining = list(wanted)
    for name in names:
        if remaining and name == remaining[0]:
            remaining.pop(0)
    return remaining
