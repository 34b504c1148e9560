"""Metrics: named numbers about a run, as JSON lines beside the log and to the tracestream.

Entry: `{timestamp, metric_name, value, additional_fields, platform_info}`, upstream's shape. Step
durations come from the events, so no code measures itself.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import agent
from agent.api.events import Event, OperationDone, OperationFailed, OperationStarted, StepDone
from agent.reporting.lines import LinesFile

Sink = Callable[[bytes], None]

log = logging.getLogger(__name__)

_STARTED = {"install": "clean_install_start", "update": "update_start"}
_DONE = {"install": "clean_install_success", "update": "ab_update_success"}
_DURATION = {"install": "clean_install_provisioning_secs", "update": "update_time_secs"}


@dataclass(frozen=True)
class Metric:
    """One measured value. `fields` are further facts about it."""

    name: str
    value: float | bool | str
    fields: tuple[tuple[str, str], ...] = ()

    def to_json(self, time: datetime) -> bytes:
        """The entry as one line of JSON."""
        entry = {
            "timestamp": time.astimezone(UTC).isoformat(),
            "metric_name": self.name,
            "value": self.value,
            "additional_fields": {"trident_version": agent.__version__, **dict(self.fields)},
            "platform_info": platform_info(),
        }
        return json.dumps(entry, ensure_ascii=False).encode()


class Metrics:
    """An observer of events that turns them into metrics for its sinks."""

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        self._sinks = sinks
        self._started: datetime | None = None

    def __call__(self, event: Event) -> None:
        for metric in self._of(event):
            entry = metric.to_json(event.time)
            for sink in self._sinks:
                sink(entry)

    def _of(self, event: Event) -> list[Metric]:
        match event:
            case OperationStarted():
                self._started = event.time
                metrics = [Metric("trident_start", event.operation)]
                if event.operation in _STARTED:
                    metrics.append(Metric(_STARTED[event.operation], True))
                return metrics
            case StepDone():
                step = event.step.replace("/", "_").replace("-", "_")
                return [Metric(step, event.duration_s, (("unit", "s"),))]
            case OperationDone() if event.operation in _DONE:
                seconds = (event.time - (self._started or event.time)).total_seconds()
                return [
                    Metric(_DONE[event.operation], True),
                    Metric(_DURATION[event.operation], seconds),
                    *_consumption(),
                ]
            case OperationDone() | OperationFailed():
                return _consumption()
            case _:
                return []


def _consumption() -> list[Metric]:
    """What this process took so far: processor time with its children, and its largest memory."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    metrics = [Metric("total_cpu_time", round(seconds, 3), (("unit", "s"),))]
    # VmHWM: unlike ru_maxrss it does not begin with the parent's size.
    peak = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if peak is not None:
        metrics.append(Metric("peak_memory_usage", int(peak[1]) << 10, (("unit", "B"),)))
    return metrics


class MetricsFile:
    """A sink that appends entries to a file, one a line; starts empty."""

    def __init__(self, path: Path) -> None:
        self._file = LinesFile(path)

    def __call__(self, entry: bytes) -> None:
        problem = self._file.write(entry)
        if problem is not None:
            log.warning("%s", problem)

    def close(self) -> None:
        self._file.close()


@cache
def platform_info() -> dict[str, str | int]:
    """What machine this is: asset id, OS release, processors, memory, kernel."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "asset_id": _first_line(Path("/sys/class/dmi/id/product_uuid")) or "unknown",
        "os_release": _os_release(),
        "total_cpu": os.cpu_count() or 0,
        "total_memory_gib": memory >> 30,
        "kernel_version": platform.release(),
    }


def _os_release() -> str:
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return facts.get("PRETTY_NAME", facts.get("ID", "unknown"))


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0].strip()
    except OSError:
        return ""
