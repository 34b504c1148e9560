"""Turns what an operation does into numbered events and hands them to observers.

Events of one run carry the same random `run` and count from 1. Observers are called one at a time,
in order, in the thread that reports; they must be quick and must not raise.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypedDict

import agent
from agent.api.errors import TridentError
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
from agent.linux.interruption import held

Observer = Callable[[Event], None]


class _Head(TypedDict):
    run: str
    sequence: int
    time: datetime
    operation: str


class Recorder:
    """The source of all events of one operation (`install`, `commit` ...)."""

    def __init__(self, operation: str, observers: Sequence[Observer]) -> None:
        self.operation = operation
        self.run = uuid.uuid4().hex
        self._observers = tuple(observers)
        self._lock = threading.Lock()
        self._sequence = 0

    def operation_started(self) -> None:
        with self._lock:
            self._emit(OperationStarted(**self._head(), version=agent.__version__))

    def step_started(self, step: str, message: str) -> None:
        with self._lock:
            self._emit(StepStarted(**self._head(), step=step, message=message))

    def step_progress(self, step: str, done_bytes: int, total_bytes: int) -> None:
        with self._lock:
            self._emit(
                StepProgress(
                    **self._head(), step=step, done_bytes=done_bytes, total_bytes=total_bytes
                )
            )

    def step_done(self, step: str, duration_s: float) -> None:
        with self._lock:
            self._emit(StepDone(**self._head(), step=step, duration_s=duration_s))

    def step_failed(self, step: str, duration_s: float) -> None:
        with self._lock:
            self._emit(StepFailed(**self._head(), step=step, duration_s=duration_s))

    def operation_done(self, servicing_state: str, *, reboot: bool) -> None:
        with self._lock:
            self._emit(
                OperationDone(**self._head(), servicing_state=servicing_state, reboot=reboot)
            )

    def operation_failed(self, error: TridentError) -> None:
        with self._lock:
            self._emit(
                OperationFailed(
                    **self._head(),
                    kind=str(error.kind),
                    code=error.code,
                    message=error.message,
                    hint=error.hint,
                    context=tuple(error.context),
                )
            )

    def _head(self) -> _Head:
        self._sequence += 1
        return _Head(
            run=self.run,
            sequence=self._sequence,
            time=datetime.now(UTC),
            operation=self.operation,
        )

    @held()
    def _emit(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)
