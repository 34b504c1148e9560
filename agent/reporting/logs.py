"""Where log records go: standard error, the full log as JSON lines, and the boot server.

`/var/log/trident-full.log` holds one JSON object a line at level TRACE and starts empty with each
run. Under systemd, lines on standard error carry the `<N>` prefix that gives them a priority in
the journal. Contents of configurations are never logged.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

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
from agent.linux.run import TRACE
from agent.reporting.lines import LinesFile

LEVELS = {
    "OFF": logging.CRITICAL + 10,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": TRACE,
}
FULL_LOG = Path("/var/log/trident-full.log")
METRICS_LOG = Path("/var/log/trident-metrics.jsonl")

_NAMES = {
    logging.CRITICAL: "error",
    logging.ERROR: "error",
    logging.WARNING: "warn",
    logging.INFO: "info",
    logging.DEBUG: "debug",
    TRACE: "trace",
}
_PRIORITIES = {"error": 3, "warn": 4, "info": 6, "debug": 7, "trace": 7}
_OWN = ("agent", "installer")
SHOWN_BY_DOOR = {"shown_by_door": True}
"""`extra` of a record that the command line shows itself: it stays off standard error."""

log = logging.getLogger(__name__)


def level_name(level: int) -> str:
    """Upstream's lower-case name of a level; the nearest one below for odd numbers."""
    return _NAMES[max((known for known in _NAMES if known <= level), default=TRACE)]


def to_json(record: logging.LogRecord) -> bytes:
    """One log record as a JSON object with upstream's keys."""
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + logging.Formatter().formatException(record.exc_info)
    entry = {
        "level": level_name(record.levelno),
        "message": message,
        "target": record.name,
        "module": record.name,
        "file": f"{Path(record.pathname).parent.name}/{record.filename}",
        "line": record.lineno,
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
    }
    return json.dumps(entry, ensure_ascii=False).encode()


class _Whole(logging.Handler):
    """Takes each record whole: logging would tell of an interruption amid it, and drop it."""

    @held()
    def handle(self, record: logging.LogRecord) -> bool:
        return super().handle(record)


class JsonFile(_Whole):
    """Appends records to a file as JSON lines. A file that can't be written any more says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(TRACE)
        self._file = LinesFile(path)

    def emit(self, record: logging.LogRecord) -> None:
        problem = self._file.write(to_json(record))
        if problem is not None:
            log.warning("%s", problem)

    def close(self) -> None:
        self._file.close()
        super().close()


class Forward(_Whole):
    """Hands each record's JSON to a function: the logstream."""

    def __init__(self, post: Callable[[bytes], None]) -> None:
        super().__init__(logging.DEBUG)
        self._post = post

    def emit(self, record: logging.LogRecord) -> None:
        self._post(to_json(record))


class _Priority(logging.Formatter):
    """`<N>message`, as sd-daemon(3) describes."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES[level_name(record.levelno)]}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


class _Stderr(_Whole, logging.StreamHandler[TextIO]):
    """Lines on a stream."""


def to_stderr(verbosity: str) -> None:
    """Send our own records of `verbosity` (a key of LEVELS) and above to standard error."""
    handler = _Stderr(sys.stderr)
    handler.setLevel(LEVELS[verbosity])
    handler.addFilter(lambda record: not hasattr(record, "shown_by_door"))
    under_systemd = "JOURNAL_STREAM" in os.environ
    style = "%(message)s" if under_systemd else "%(levelname)-7s %(message)s"
    handler.setFormatter(_Priority(style) if under_systemd else logging.Formatter(style))
    attach(handler)


def attach(handler: logging.Handler) -> None:
    """Let a handler see every record of our own packages."""
    logging.addLevelName(TRACE, "TRACE")
    for name in _OWN:
        own = logging.getLogger(name)
        own.setLevel(TRACE)
        own.addHandler(handler)


def detach(handler: logging.Handler) -> None:
    """Undo `attach` and close the handler."""
    for name in _OWN:
        logging.getLogger(name).removeHandler(handler)
    handler.close()


def log_event(event: Event) -> None:
    """An observer that writes the course of an operation into the log."""
    match event:
        case OperationStarted():
            log.info("%s started (trident %s)", event.operation, event.version)
        case StepStarted():
            log.info("%s: %s", event.step, event.message)
        case StepFailed():
            log.error("%s failed after %.1f s", event.step, event.duration_s)
        case StepDone():
            log.debug("%s done in %.1f s", event.step, event.duration_s)
        case OperationDone():
            log.info("%s done: %s", event.operation, event.servicing_state)
        case OperationFailed():
            log.debug("%s failed: %s/%s", event.operation, event.kind, event.code)
        case StepProgress():
            log.log(TRACE, "%s: %d of %d bytes", event.step, event.done_bytes, event.total_bytes)
