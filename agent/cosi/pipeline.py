"""Stages as threads joined by channels over bounded pools; the first failure stops them all.

The caller's thread waits in `run` and gets the first stage's error. No thread outlives `run`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from agent.linux.interruption import check, held

T = TypeVar("T")


class Stopped(Exception):
    """Another stage failed; this one ends too."""


class Gate:
    """What all channels of one pipeline share: the lock, and whether it has been stopped."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stopped = False

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Wait, with `changed` held, until `ready`. Raises Stopped."""
        self.changed.wait_for(lambda: self.stopped or ready())
        if self.stopped:
            raise Stopped


class Channel(Generic[T]):
    """A first-in first-out queue between two stages, bounded by the pool its items come from."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._items: deque[T] = deque()
        self._closed = False

    def put(self, item: T) -> None:
        with self._gate.changed:
            self._items.append(item)
            self._gate.changed.notify_all()

    def get(self) -> T | None:
        """Wait for an item; None when the channel is closed and empty. Raises Stopped."""
        with self._gate.changed:
            self._gate.wait_for(lambda: bool(self._items) or self._closed)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """No more items will come."""
        with self._gate.changed:
            self._closed = True
            self._gate.changed.notify_all()


class Pool(Generic[T]):
    """Reusable items: taken by the stage that fills them, given back by the one that is done."""

    def __init__(self, gate: Gate, items: Iterable[T]) -> None:
        self._gate = gate
        self._items = list(items)

    def take(self) -> T:
        """Wait for a free item. Raises Stopped."""
        with self._gate.changed:
            self._gate.wait_for(lambda: bool(self._items))
            return self._items.pop()

    def give(self, item: T) -> None:
        with self._gate.changed:
            self._items.append(item)
            self._gate.changed.notify_all()


@held()
def run(
    gate: Gate,
    stages: Sequence[Callable[[], None]],
    *,
    interrupt: Callable[[], None],
    tick: Callable[[], None],
    tick_s: float = 0.5,
) -> None:
    """Run all stages to their end; `tick` is called in this thread about every `tick_s`.

    When one fails, `tick` raises or the agent is told to stop, the others are stopped: those
    waiting at a channel by the gate, those waiting elsewhere by `interrupt`. Raises what failed
    first.
    """
    with ThreadPoolExecutor(len(stages), thread_name_prefix="image") as pool:
        futures: list[Future[None]] = [pool.submit(stage) for stage in stages]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=tick_s, return_when=FIRST_EXCEPTION)
                _raise_first(done)
                tick()
                check()
        finally:
            gate.stop()
            interrupt()


def _raise_first(done: set[Future[None]]) -> None:
    """Raise the error of a finished stage; a stage that was only told to stop comes last."""
    errors = [error for future in done if (error := future.exception()) is not None]
    errors.sort(key=lambda error: isinstance(error, Stopped))
    for error in errors:
        raise error
