"""Being told to stop: a signal becomes an error, so that mounts come off and the record is made.

The error is raised wherever the main thread is, which ends a wait at once. Where that would leave
something half done (a child that nobody knows of, a lock that stays taken) the code is `held`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from agent.api.errors import Kind, TridentError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(TridentError):
    """The operation was stopped from outside: that says nothing about the host."""

    def __init__(self, by: str) -> None:
        super().__init__(
            Kind.SERVICING,
            "interrupted",
            f"stopped by {by}",
            hint="run the command again; it starts from the beginning",
        )


@dataclass
class _State:
    """Of the main thread: only there handlers of signals run."""

    depth: int = 0
    put_off: str | None = None


_state = _State()


def raise_on_signals() -> None:
    """Let the first SIGTERM or SIGINT raise Interrupted in the main thread; later ones are lost."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def held() -> Iterator[None]:
    """Put an interruption off to the end of the block, or to the next `check` in it.

    In other threads, which no interruption reaches, this does nothing.
    """
    if not _in_main_thread():
        yield
        return
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
        if _state.depth == 0:
            check()


def check() -> None:
    """Raise Interrupted when it was put off."""
    if _in_main_thread() and _state.put_off is not None:
        by, _state.put_off = _state.put_off, None
        raise Interrupted(by)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for known in _SIGNALS:
        signal.signal(known, _ignore)
    by = signal.Signals(number).name
    if _state.depth == 0:
        raise Interrupted(by)
    _state.put_off = by


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler, not SIG_IGN: that would be inherited by the programs that clean up."""
