"""One virtual machine at a time: an exclusive lock for whoever starts QEMU on this machine."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lab import paths, waiting

DEFAULT_LIMIT_S = 3600.0


@contextmanager
def virtual_machines(limit_s: float = DEFAULT_LIMIT_S) -> Iterator[None]:
    """Hold the machine-wide VM lock; waits at most `limit_s` for whoever has it."""
    path = paths.cache(".") / "vm.lock"
    with path.open("a+b") as handle:
        if not _try(handle.fileno()):
            print("waiting for another virtual machine on this host to end", file=sys.stderr)
            waiting.until(
                lambda: _try(handle.fileno()), limit_s=limit_s, what=f"the lock {path}", poll_s=1
            )
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.set_inheritable(descriptor, False)
    return True
