"""Being told to stop: a signal becomes an error, so that mounts come off and the record is made."""

from __future__ import annotations

import signal
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


def raise_on_signals() -> None:
    """Let the first SIGTERM or SIGINT raise Interrupted in the main thread; later ones are lost."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for known in _SIGNALS:
        signal.signal(known, _ignore)
    raise Interrupted(signal.Signals(number).name)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler, not SIG_IGN: that would be inherited by the programs that clean up."""
