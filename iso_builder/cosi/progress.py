"""Shows people and programs how far a command is: bars, lines, or events as JSON.

All of it goes to one stream, usually standard error, so that standard output holds results only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Protocol, TextIO

from agent.api import events
from agent.api.errors import TridentError
from agent.reporting.recorder import Recorder

Report = Callable[[int, int], None]
"""Called with done and total bytes."""

_DRAW_EVERY_S = 0.1
_LINE_EVERY_S = 10.0
_EVENT_EVERY_S = 0.5
_BAR_CELLS = 20
_USUAL_COLUMNS = 80
_MIB = 2**20


class Style(StrEnum):
    """What `--progress` takes."""

    AUTO = "auto"
    BARS = "bars"
    PLAIN = "plain"
    JSON = "json"
    NONE = "none"


class Meter(Protocol):
    """What a command tells of its progress."""

    def note(self, text: str) -> None:
        """A step without a measure, or something worth knowing."""
        ...

    def step(self, verb: str, name: str) -> AbstractContextManager[Report]:
        """A step with a measure: what is done ("compressing") to what."""
        ...


@contextmanager
def meter(style: Style, stream: TextIO, operation: str) -> Iterator[Meter]:
    """The meter for the length of one command. AUTO: bars on a terminal, lines elsewhere."""
    if style is Style.AUTO:
        style = Style.BARS if stream.isatty() else Style.PLAIN
    match style:
        case Style.BARS:
            yield Bars(stream)
        case Style.JSON:
            with _recorded(stream, operation) as recorded:
                yield recorded
        case Style.PLAIN:
            yield Lines(stream)
        case _:
            yield Silence()


class Silence:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Nothing is shown."""

    @contextmanager
    def step(self, verb: str, name: str) -> Iterator[Report]:  # noqa: ARG002
        yield lambda _done, _total: None


class Pace:
    """Tells the rate of a step and the time left, and when to show them again."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._every_s = every_s
        self._started = self._shown = clock()

    def is_due(self) -> bool:
        """Whether enough time went by since this was last true."""
        now = self._clock()
        if now - self._shown < self._every_s:
            return False
        self._shown = now
        return True

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    def describe(self, done: int, total: int) -> str:
        """`512.0 of 1024.0 MiB, 85.3 MiB/s, 0:06 left`."""
        rate = done / self.elapsed_s if self.elapsed_s > 0 else 0.0
        text = f"{done / _MIB:.1f} of {total / _MIB:.1f} MiB, {rate / _MIB:.1f} MiB/s"
        return f"{text}, {duration((total - done) / rate)} left" if rate else text


class Bars:
    """One line of a terminal, drawn again and again, finished by a line that stays."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def note(self, text: str) -> None:
        self._stream.write(f"{text}\n")

    @contextmanager
    def step(self, verb: str, name: str) -> Iterator[Report]:
        message = f"{verb} {name}"
        pace = Pace(_DRAW_EVERY_S)
        seen = 0

        def report(done: int, total: int) -> None:
            nonlocal seen
            seen = total
            if pace.is_due():
                self._draw(f"{_bar(done, total)} {pace.describe(done, total)}  {message}")

        self._draw(f"{_bar(0, 1)} {message}")
        try:
            yield report
        except BaseException:
            self._stream.write("\n")
            raise
        self._draw(_finished(message, seen, pace.elapsed_s))
        self._stream.write("\n")

    def _draw(self, text: str) -> None:
        width = _columns(self._stream) - 1
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()


class Lines:
    """A line for each step, and one now and then while it takes long."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    @contextmanager
    def step(self, verb: str, name: str) -> Iterator[Report]:
        message = f"{verb} {name}"
        pace = Pace(_LINE_EVERY_S)
        seen = 0

        def report(done: int, total: int) -> None:
            nonlocal seen
            seen = total
            if pace.is_due():
                self.note(f"{message}: {pace.describe(done, total)}")

        yield report
        self.note(_finished(message, seen, pace.elapsed_s))


class JsonEvents:
    """One JSON document a line: the events of `agent.api.events`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def note(self, text: str) -> None:
        self._recorder.step_started("note", text)

    @contextmanager
    def step(self, verb: str, name: str) -> Iterator[Report]:
        pace = Pace(_EVENT_EVERY_S)

        def report(done: int, total: int) -> None:
            if pace.is_due() or done == total:
                self._recorder.step_progress(name, done, total)

        self._recorder.step_started(name, f"{verb} {name}")
        try:
            yield report
        except BaseException:
            self._recorder.step_failed(name, pace.elapsed_s)
            raise
        self._recorder.step_done(name, pace.elapsed_s)


def _columns(stream: TextIO) -> int:
    """Width of the terminal behind a stream; the usual one when it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


def duration(seconds: float) -> str:
    """`1:02:03`, `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _recorded(stream: TextIO, operation: str) -> Iterator[Meter]:
    recorder = Recorder(
        operation, [lambda event: print(events.dump_json(event), file=stream, flush=True)]
    )
    recorder.operation_started()
    try:
        yield JsonEvents(recorder)
    except TridentError as error:
        recorder.operation_failed(error)
        raise


def _bar(done: int, total: int) -> str:
    share = done / total if total else 1.0
    filled = min(int(share * _BAR_CELLS), _BAR_CELLS)
    return f"[{'#' * filled}{'.' * (_BAR_CELLS - filled)}] {share:4.0%}"


def _finished(message: str, total: int, elapsed_s: float) -> str:
    rate = f" ({total / _MIB / elapsed_s:.1f} MiB/s)" if total and elapsed_s > 0 else ""
    return f"{message}: {total / _MIB:.1f} MiB in {elapsed_s:.1f} s{rate}"
