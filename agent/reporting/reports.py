"""All reports of one operation: opened together, closed together in bounded time.

Beside the observers of the caller, an operation reports to its log files and, when the Host
Configuration names them, to phonehome, events, tracestream (derived from the phonehome URL) and
logstream.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import TridentError
from agent.api.events import Event, StepProgress, dump_json
from agent.api.hostconfig import HostConfiguration
from agent.reporting import logs
from agent.reporting.journal import JournalMetrics
from agent.reporting.metrics import Metrics, MetricsFile, Sink
from agent.reporting.phonehome import Phonehome, State
from agent.reporting.recorder import Observer, Recorder
from agent.reporting.sender import Delays, Sender, Until, forever, sibling

FLUSH_S = 15.0
"""How long an operation waits at its end, in all, for its reports to be taken."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reports:
    """Where one operation reports to."""

    recorder: Recorder
    phonehome: Phonehome | None

    def started(self) -> None:
        """Announce the operation."""
        self.recorder.operation_started()
        if self.phonehome:
            self.phonehome.report(State.STARTED, f"{self.recorder.operation} started")

    def succeeded(self, message: str, host_status: str) -> None:
        """Tell the orchestrator that the machine is what it should be."""
        if self.phonehome:
            self.phonehome.report(State.SUCCEEDED, message, host_status)

    def failed(self, error: TridentError, host_status: str | None) -> None:
        """Tell everybody that the operation failed, and why."""
        log.error("%s", error.render(), extra=logs.SHOWN_BY_DOOR)
        self.recorder.operation_failed(error)
        if self.phonehome:
            self.phonehome.report(State.FAILED, error.render(), host_status)


@contextmanager
def reporting(
    operation: str,
    configuration: HostConfiguration | None,
    observers: Sequence[Observer] = (),
    *,
    log_directory: Path | None = None,
) -> Iterator[Reports]:
    """Open the reports of an operation; at its end wait for them to be taken.

    That wait is FLUSH_S seconds, or what is left of the time in which the server may still come
    up. `log_directory` gets `trident-full.log` and `trident-metrics.jsonl`, emptied first; None
    keeps no files. A directory that can't be written costs the files, not the operation.
    """
    with ExitStack() as stack:
        sinks = _open_files(stack, log_directory) if log_directory else []
        watching: list[Observer] = [logs.log_event, *observers]
        phonehome = None
        if configuration is not None:
            senders = _Senders(configuration)
            stack.callback(senders.close)
            if configuration.trident.logstream:
                _open_logstream(stack, senders, configuration.trident.logstream)
            url = configuration.trident.phonehome
            if url:
                phonehome = Phonehome(senders.open(url))
            if url and (tracestream := sibling(url, "tracestream")):
                sinks.append(senders.open(tracestream).post)
            if url and (events := sibling(url, "events")):
                watching.append(event_poster(senders.open(events, forever)))
        watching.append(Metrics(tuple(sinks)))
        yield Reports(Recorder(operation, watching), phonehome)


def event_poster(sender: Sender) -> Observer:
    """An observer that posts each event; queued progress gives way to newer progress."""

    def observe(event: Event) -> None:
        replaces = f"progress {event.step}" if isinstance(event, StepProgress) else ""
        sender.post(dump_json(event).encode(), replaces=replaces)

    return observe


def _open_files(stack: ExitStack, directory: Path) -> list[Sink]:
    try:
        handler = logs.JsonFile(directory / logs.FULL_LOG.name)
        stack.callback(logs.detach, handler)
        metrics = MetricsFile(directory / logs.METRICS_LOG.name)
        stack.callback(metrics.close)
    except OSError as error:
        log.warning("no log files are kept: %s", error)
        return []
    logs.attach(handler)
    journal = JournalMetrics()
    stack.callback(journal.close)
    return [metrics, journal]


class _Senders:
    """The senders of one operation. They share the time the server has to come up."""

    def __init__(self, configuration: HostConfiguration) -> None:
        limit_s = configuration.internal_params.orchestrator_connection_timeout_seconds
        self._start = Until(limit_s)
        self._all: list[Sender] = []

    def open(self, url: str, delays: Delays | None = None) -> Sender:
        """A sender to `url`. By default a server that stays away too long is given up."""
        sender = Sender(url, delays or self._start)
        self._all.append(sender)
        return sender

    def close(self) -> None:
        end = time.monotonic() + max(FLUSH_S, self._start.remaining_s())
        for sender in self._all:
            sender.close(max(0.0, end - time.monotonic()))


def _open_logstream(stack: ExitStack, senders: _Senders, url: str) -> None:
    handler = logs.Forward(senders.open(url).post)
    stack.callback(logs.detach, handler)
    logs.attach(handler)
