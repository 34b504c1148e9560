"""Being told to stop: at once where that is harmless, put off where it is not, never lost."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agent.cosi import pipeline
from agent.linux import run, script
from agent.linux.interruption import Interrupted, check, held, raise_on_signals
from agent.reporting import logs
from tests.kit import cgroup

SCRIPT_MODULES = (
    "agent.linux.containment",
    "agent.linux.interruption",
    "agent.linux.run",
    "agent.linux.script",
    "subprocess",
)
PIPELINE_MODULES = (
    "agent.cosi.pipeline",
    "agent.linux.interruption",
    "concurrent.futures._base",
    "concurrent.futures.thread",
    "threading",
)
HANG_S = 20
Place = tuple[str, int]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The agent's handlers, and those from before put back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = [(number, signal.getsignal(number)) for number in numbers]
    raise_on_signals()
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_a_signal_ends_a_wait_at_once() -> None:
    started = time.monotonic()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        time.sleep(HANG_S)
    assert time.monotonic() - started < HANG_S / 2
    timer.join()


def test_what_is_held_is_done_to_its_end_and_interrupted_then() -> None:
    done: list[str] = []

    @held()
    def inner() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("inner")

    @held()
    def outer() -> None:
        inner()
        done.append("outer")

    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        outer()
    assert done == ["inner", "outer"]
    check()


def test_what_is_held_may_look() -> None:
    done: list[str] = []

    @held()
    def work() -> None:
        for step in ("first", "second", "third"):
            check()
            done.append(step)
            if step == "second":
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        work()
    assert done == ["first", "second"]


def test_an_interruption_is_told_rather_than_the_failure_that_it_may_have_caused() -> None:
    with pytest.raises(Interrupted) as caught:
        run.run(["sh", "-c", f"kill -TERM {os.getpid()}; exit 1"])
    assert caught.value.message == "stopped by SIGTERM"


def test_a_signal_while_a_line_is_logged_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """logging tells of an error in a handler, and goes on."""
    stream = _Signals()
    monkeypatch.setattr(sys, "stderr", stream)
    logger = logging.getLogger("agent")
    before = list(logger.handlers)
    logs.to_stderr("INFO")
    (handler,) = set(logger.handlers) - set(before)
    try:
        with pytest.raises(Interrupted):
            logger.info("whole")
    finally:
        logs.detach(handler)
    assert stream.getvalue().endswith("whole\n")


def test_a_signal_ends_the_wait_in_the_block_of_a_running_program(tmp_path: Path) -> None:
    @held()
    def work() -> None:
        with run.spawn(["sleep", "300"], log=tmp_path / "log") as process:
            signal.raise_signal(signal.SIGTERM)
            process.wait(HANG_S)

    started = time.monotonic()
    with pytest.raises(Interrupted):
        work()
    assert time.monotonic() - started < HANG_S / 2


def test_after_the_first_signal_others_do_not_disturb_the_cleaning_up() -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert run.run(["echo", "cleaned"]).stdout == "cleaned\n"


def test_another_thread_is_not_interrupted() -> None:
    seen: list[str] = []

    @held()
    def other() -> None:
        check()
        seen.append(run.run(["echo", "on"]).stdout)

    @held()
    def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    with pytest.raises(Interrupted):
        main()
    assert seen == ["on\n"]


@pytest.mark.parametrize("act", ["script", "pipeline"])
def test_f10_a_signal_at_any_line_stops_the_work_and_leaves_nothing(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line that starting, awaiting, killing and reaping runs in the main thread, in turn.

    A line that is run only when the kernel is slow may not be come by again.
    """
    work, modules = {
        "script": (_script, SCRIPT_MODULES),
        "pipeline": (_pipeline, PIPELINE_MODULES),
    }[act]
    files = frozenset(sys.modules[name].__file__ for name in modules)
    monkeypatch.setattr(script, "LOOK_S", 0.02)
    monkeypatch.setattr(run, "LOOK_S", 0.02)
    signal.signal(signal.SIGALRM, _hangs)
    with cgroup.apart(monkeypatch) as cgroups:
        before = _left([])
        places: dict[Place, None] = {}
        _traced(work, files, lambda place: places.setdefault(place))
        reached = 0
        for place in places:
            raise_on_signals()
            signal.alarm(HANG_S)
            once = _Once(place)
            try:
                _traced(work, files, once)
            except Interrupted:
                reached += 1
            else:
                assert not once.sent, place
            signal.alarm(0)
            assert _left(cgroups()) == before, place
    assert reached > 100


def _left(cgroups: list[Path]) -> tuple[str, int, list[Path]]:
    """This thread's children, how many threads there are, and the cgroups of scripts."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    return children, threading.active_count(), cgroups


def _script() -> None:
    outcome = script.run(["/bin/sh", "-c", "sleep 300"], timeout_s=0.01, env={})
    assert outcome.returncode is None


def _pipeline() -> None:
    """Two stages: the second awaits what the first gives it, and both are slow."""
    gate = pipeline.Gate()
    channel: pipeline.Channel[int] = pipeline.Channel(gate)

    def give() -> None:
        for number in range(4):
            time.sleep(0.002)
            channel.put(number)
        channel.close()

    def take() -> None:
        while channel.get() is not None:
            time.sleep(0.002)

    pipeline.run(gate, [give, take], interrupt=lambda: None, tick=lambda: None, tick_s=0.001)


class _Signals(io.StringIO):
    """A stream; SIGTERM comes when it is written to."""

    def write(self, text: str) -> int:
        signal.raise_signal(signal.SIGTERM)
        return super().write(text)


class _Once:
    """Sends SIGTERM the first time that a place is come by."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.sent = False

    def __call__(self, place: Place) -> None:
        if place == self._place and not self.sent:
            self.sent = True
            signal.raise_signal(signal.SIGTERM)


def _traced(
    act: Callable[[], None], files: frozenset[str | None], look: Callable[[Place], Any]
) -> None:
    """Call `act`; `look` is told each line of `files` before it is run."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            look((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise AssertionError("the agent hangs")
