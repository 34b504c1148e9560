"""Bounded waiting on things that have no file descriptor to wait on: logs, HTTP state.

Every wait names what it waits for and ends at its limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from lab.errors import ScenarioFailed

POLL_S = 0.25
_interrupted = threading.Event()

T = TypeVar("T")


def until(probe: Callable[[], T | None], *, limit_s: float, what: str, poll_s: float = POLL_S) -> T:
    """Call `probe` until it returns something else than None or False; return that.

    Raises ScenarioFailed after `limit_s`; the probe's own errors pass through.
    """
    deadline = time.monotonic() + limit_s
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() >= deadline:
            raise ScenarioFailed(f"waited {limit_s:g} s in vain for {what}")
        _interrupted.wait(poll_s)
