"""The running boot server: a process for HTTP, one for the network services, and a supervisor.

The supervisor has no threads and no sockets of its own. It becomes the configured user first, then
forks; when either child ends by itself, it stops the other and fails, for systemd to start all
anew. Children are killed by the kernel when the supervisor is.
"""

from __future__ import annotations

import logging
import multiprocessing
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

from agent.api.errors import Kind, TridentError
from bootserver import process
from bootserver.services import Services
from bootserver.settings import Settings
from bootserver.store import Note

_LOG = logging.getLogger(__name__)
_FORK = multiprocessing.get_context("fork")
_STOP_WITHIN_S: Final = 2.5
_READY_WITHIN_S: Final = 30.0
_SIGNAL_SPREAD_S: Final = 0.2

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once all services answer.

    Raises TridentError when a service cannot start, or ends by itself.
    """
    _raise_descriptor_limit()
    _check_folders(settings)
    if settings.user is not None:
        process.become(settings.user, owning=settings.state)
    _look_at_declarations(settings)
    with _stop_requested() as stop:
        children = [
            _Child("network services", settings, _run_network),
            _Child("http", settings, _run_http),
        ]
        try:
            for child in children:
                child.await_ready(stop)
            if not stop.is_set():
                _LOG.info("serving %s", settings.base_url)
                ready()
                _supervise(children, stop)
        finally:
            _stop_all(children)


class _Stop:
    """A stop request that `wait` can watch: the read end of a pipe."""

    def __init__(self) -> None:
        self.reader, self._writer = _FORK.Pipe(duplex=False)
        self._requested = False

    def request(self, number: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        if not self._requested:
            self._requested = True
            self._writer.send(number)

    def is_set(self) -> bool:
        return self._requested


@dataclass(frozen=True)
class _Failure:
    """A TridentError in a form that goes through a pipe."""

    kind: Kind
    code: str
    message: str
    hint: str | None
    fields: dict[str, str]

    @classmethod
    def of(cls, error: TridentError) -> _Failure:
        return cls(error.kind, error.code, error.one_line(), error.hint, error.fields)

    def error(self) -> TridentError:
        return TridentError(self.kind, self.code, self.message, hint=self.hint, fields=self.fields)


class _Child:
    """One process of the server. It says through a pipe that it serves, or why it cannot."""

    def __init__(
        self, name: str, settings: Settings, body: Callable[[Settings, Connection], None]
    ) -> None:
        self.name = name
        self._report, writer = _FORK.Pipe(duplex=False)
        self.process: BaseProcess = _FORK.Process(
            target=_in_child, args=(body, settings, writer), name=name
        )
        self.process.start()
        writer.close()

    def await_ready(self, stop: _Stop) -> None:
        """Return when the child serves or a stop is requested. Raises what the child raised."""
        wait([self._report, stop.reader], _READY_WITHIN_S)
        if stop.is_set():
            return
        try:
            failure = self._report.recv() if self._report.poll() else "it did not start in time"
        except EOFError:
            failure = "it ended while starting; see the log"
        if isinstance(failure, _Failure):
            raise failure.error()
        if failure is not None:
            raise _ended(self.name, str(failure))


def _in_child(
    body: Callable[[Settings, Connection], None], settings: Settings, report: Connection
) -> None:
    process.end_with_parent()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    try:
        body(settings, report)
    except TridentError as error:
        report.send(_Failure.of(error))
        sys.exit(1)


def _run_http(settings: Settings, report: Connection) -> None:
    from bootserver.http.server import HttpServer, require_free

    require_free(settings)
    HttpServer(settings, lambda: report.send(None)).run()


def _run_network(settings: Settings, report: Connection) -> None:
    from bootserver.network import NetworkServices

    stop = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda _number, _frame: stop.set())
    services = Services.open(settings)
    try:
        network = NetworkServices(services)
        report.send(None)
        network.run(stop)
    finally:
        services.database.close()


def _supervise(children: list[_Child], stop: _Stop) -> None:
    """Return when a stop is requested. Raises when a child ends by itself."""
    ended = wait([stop.reader, *(child.process.sentinel for child in children)])
    # A signal to the whole process group reaches the children too, perhaps before us.
    if wait([stop.reader], _SIGNAL_SPREAD_S):
        return
    for child in children:
        if child.process.sentinel in ended:
            child.process.join()
            raise _ended(child.name, f"exit status {child.process.exitcode}")


def _stop_all(children: list[_Child]) -> None:
    for child in children:
        child.process.terminate()
    for child in children:
        child.process.join(_STOP_WITHIN_S)
        if child.process.is_alive():
            _LOG.warning("%s did not stop in time and is killed", child.name)
            child.process.kill()
            child.process.join()


@contextmanager
def _stop_requested() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.request) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _look_at_declarations(settings: Settings) -> None:
    """Refuse unreadable files; say what is wrong with each machine; note who is declared."""
    services = Services.open(settings)
    try:
        services.artifacts()
        services.media.require()
        services.hosts.load()
        for host in services.hosts.all():
            for line in host.verdict.errors:
                _LOG.error("mac=%s refused: %s", host.mac, line)
            for line in host.verdict.warnings:
                _LOG.warning("mac=%s %s", host.mac, line)
            if services.store.record(host.mac) is None:
                services.store.apply(host.mac, (), (Note("operator", "declared"),))
    finally:
        services.database.close()


def _check_folders(settings: Settings) -> None:
    """Check that the folders to serve are there. Raises missing-folder."""
    for folder, key in ((settings.artifacts, "artifacts"), (settings.files, "files")):
        if not folder.is_dir():
            raise TridentError(
                Kind.INVALID_INPUT,
                "missing-folder",
                f"the folder {folder} does not exist",
                hint=f"create it or change `{key}` in the settings",
            )


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _ended(name: str, why: str) -> TridentError:
    return TridentError(
        Kind.EXECUTION_ENVIRONMENT,
        "service-ended",
        f"the {name} process ended: {why}",
        hint="see the log above",
    )
