"""Events as lines on a console: 80 columns, no escape codes, readable on a serial line. Pure."""

from __future__ import annotations

from collections.abc import Callable

from agent.api.events import (
    Event,
    OperationDone,
    OperationFailed,
    OperationStarted,
    StepDone,
    StepFailed,
    StepProgress,
    StepStarted,
)

_PERCENT_STEP = 10


class ProgressLines:
    """An observer of events that writes a line for each step and each ten per cent of one."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._shown: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        line = self._line(event)
        if line is not None:
            self._write(line)

    def _line(self, event: Event) -> str | None:
        match event:
            case OperationStarted():
                return f"trident {event.version}: {event.operation} started"
            case StepStarted():
                return f"[{event.step}] {event.message}"
            case StepProgress():
                return self._progress(event)
            case StepDone() if event.duration_s >= 1:
                return f"[{event.step}] done in {event.duration_s:.1f} s"
            case StepDone():
                return None
            case StepFailed():
                return f"[{event.step}] FAILED after {event.duration_s:.1f} s"
            case OperationDone():
                return f"{event.operation} done: {event.servicing_state}"
            case OperationFailed():
                return f"{event.operation} FAILED: {event.message}"

    def _progress(self, event: StepProgress) -> str | None:
        if event.total_bytes == 0:
            return None
        percent = 100 * event.done_bytes // event.total_bytes
        level = percent // _PERCENT_STEP
        if self._shown.get(event.step, 0) >= level:
            return None
        self._shown[event.step] = level
        return f"[{event.step}] {percent} % of {event.total_bytes / (1 << 20):.0f} MiB"
