"""One servicing operation at a time on a host: a kernel lock on a root-owned file in /run.

The lock ends with its process, however that ends. The file names the owner: pid and operation.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.api.errors import Kind, TridentError

LOCK_FILE = Path("/run/trident/servicing.lock")


@contextmanager
def servicing_lock(operation: str, path: Path = LOCK_FILE) -> Iterator[None]:
    """Hold the lock for the length of the block.

    Raises servicing/busy with the owner's pid and operation when another process holds it.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "check-root-privileges",
            f"the lock file {path} could not be opened: {error.strerror}",
            hint="run the command as root",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(os.pread(descriptor, 200, 0).decode("utf-8", "replace")) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {operation}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _busy(owner: str) -> TridentError:
    pid, _, operation = owner.strip().partition(" ")
    who = f"'{operation}' in process {pid}" if operation else "another operation"
    return TridentError(
        Kind.SERVICING,
        "busy",
        f"this host is being serviced by {who}",
        hint="wait until it has ended, then try again",
        fields={"pid": pid, "operation": operation},
    )
