"""One virtual machine at a time: an exclusive lock for whoever starts QEMU on this machine."""

from __future__ import annotations

import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import paths
from lab.errors import LabError

DEFAULT_LIMIT_S = 3600.0


@contextmanager
def virtual_machines(limit_s: float = DEFAULT_LIMIT_S) -> Iterator[None]:
    """Hold the machine-wide VM lock; waits at most `limit_s` for whoever has it."""
    path = paths.cache(".") / "vm.lock"
    with path.open("a+b") as handle:
        if not _try(handle.fileno()):
            print("waiting for another virtual machine on this host to end", file=sys.stderr)
            _queue_up(handle.fileno(), limit_s, path)
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _queue_up(descriptor: int, limit_s: float, path: Path) -> None:
    """Wait in the kernel's queue: whoever asks again and again is overtaken by those who wait."""

    def give_up(_number: int, _frame: object) -> None:
        raise LabError(f"waited {limit_s:g} s in vain for the lock {path}")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
