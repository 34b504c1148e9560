"""Run steps: the intention as an event, the act, the outcome as an event; failures carry the step.

Nothing here decides: what runs and in which order is the plan's.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from agent.api.errors import Kind, TridentError
from agent.api.errors import context as while_doing
from agent.engine.context import Context
from agent.engine.subsystem import Step

PROGRESS_INTERVAL_S = 0.5
_HINTS = {
    errno.ENOSPC: "its file system is full: make the partition larger, or remove what is not "
    "needed; then run the command again",
    errno.EDQUOT: "a quota is used up: raise it; then run the command again",
    errno.EROFS: "its file system is read-only: the kernel may have made it so after an error "
    "(dmesg); check it unmounted (fsck.vfat -a for the EFI system partition), mount it again, "
    "then run the command again",
    errno.EIO: "the device fails (dmesg): replace it",
}


class Reporter(Protocol):
    """Where steps are announced: `agent.reporting.recorder.Recorder`."""

    def step_started(self, step: str, message: str) -> None: ...

    def step_progress(self, step: str, done_bytes: int, total_bytes: int) -> None: ...

    def step_done(self, step: str, duration_s: float) -> None: ...

    def step_failed(self, step: str, duration_s: float) -> None: ...


def execute(steps: Sequence[Step], context: Context, reporter: Reporter) -> None:
    """Run the steps in order; the first failure ends it, with the step in its context chain."""
    for step in steps:
        run_step(step, context, reporter)


def run_step(step: Step, context: Context, reporter: Reporter) -> None:
    """Run one step between its events. Whatever it raises passes through.

    An OSError becomes servicing/file-access: it names the file and what to do.
    """
    reporter.step_started(step.name, step.message)
    started = time.monotonic()
    done = False
    try:
        with while_doing(step.message):
            _run(step, replace(context, progress=_Throttled(step.name, reporter)))
        done = True
    finally:
        duration_s = time.monotonic() - started
        if done:
            reporter.step_done(step.name, duration_s)
        else:
            reporter.step_failed(step.name, duration_s)


def _run(step: Step, context: Context) -> None:
    try:
        step.run(context)
    except OSError as error:
        raise _named(error) from error


def _named(error: OSError) -> TridentError:
    """The error for a file, directory or device that could not be used."""
    what = str(error.filename or "a file")
    return TridentError(
        Kind.SERVICING,
        "file-access",
        f"{what}: {error.strerror or error}",
        hint=_HINTS.get(error.errno or 0, "see the kernel's log (dmesg) for its file system"),
        fields={"path": what},
    )


class _Throttled:
    """A Progress that passes on the last call and otherwise one call each half second."""

    def __init__(self, step: str, reporter: Reporter) -> None:
        self._step = step
        self._reporter = reporter
        self._next = 0.0

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        now = time.monotonic()
        if now < self._next and done_bytes < total_bytes:
            return
        self._next = now + PROGRESS_INTERVAL_S
        self._reporter.step_progress(self._step, done_bytes, total_bytes)
