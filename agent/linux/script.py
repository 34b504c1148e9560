"""Runs an operator's script: bounded in time and kept output, nothing that it started left running.

Standard output and error are one stream. However much a script writes, only the end is kept. What
is to go on running must be started by somebody else: the service manager (`systemctl start`).
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.linux.containment import contained
from agent.linux.interruption import check, held
from agent.linux.run import LOOK_S, Process, could_not_execute, require, spawn

KEPT_BYTES = 64 << 10
_CHUNK_BYTES = 4096
_DRAIN_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """How a script ended. `returncode` is None when it was killed: time was up, or cancelled."""

    returncode: int | None
    output: str
    """The last KEPT_BYTES of what it wrote."""
    output_bytes: int
    """How much it wrote in all."""


@held()
def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout_s: float,
    env: Mapping[str, str],
    chroot: Path | None = None,
    cancelled: threading.Event | None = None,
) -> Outcome:
    """Run a script to its end or its time limit, or until `cancelled` is set by another thread.

    `argv[0]` is the interpreter; with `chroot` all paths are inside that root directory.
    Raises missing-binary, command-could-not-execute.
    """
    words = [os.fspath(word) for word in argv]
    if chroot is not None:
        words = ["chroot", os.fspath(chroot), *words]
    _require_program(words)
    reader, writer = os.pipe()
    tail = _Tail(reader)
    try:
        with (
            contained() as inside,
            spawn(
                inside.command(words),
                log=Path(f"/proc/self/fd/{writer}"),
                env={**env, **inside.environment},
            ) as process,
        ):
            os.close(writer)
            writer = -1
            returncode = _wait(process, timeout_s, cancelled or threading.Event())
            process.signal(signal.SIGKILL)
    finally:
        if writer >= 0:
            os.close(writer)
        tail.close()
    return Outcome(returncode, tail.text(), tail.total_bytes)


def _require_program(words: Sequence[str]) -> None:
    """Find out before the shell that a containment may start it by would say so in its own way."""
    if not os.path.isabs(words[0]):
        require(words[0])
    elif not os.access(words[0], os.X_OK):
        absent = errno.EACCES if os.path.exists(words[0]) else errno.ENOENT
        raise could_not_execute(words, OSError(absent, os.strerror(absent)))


def _wait(process: Process, timeout_s: float, cancelled: threading.Event) -> int | None:
    """The exit status; None when the time is up or the run was cancelled."""
    end = time.monotonic() + timeout_s
    while not cancelled.is_set() and (left_s := end - time.monotonic()) > 0:
        status = process.wait(min(left_s, LOOK_S))
        if status is not None:
            return status
        check()
    return None


class _Tail:
    """Reads a pipe to its end in a thread and keeps the last bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._chunks: deque[bytes] = deque(maxlen=KEPT_BYTES // _CHUNK_BYTES + 1)
        self.total_bytes = 0
        self._thread = threading.Thread(target=self._read, name="script-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := os.read(self._descriptor, _CHUNK_BYTES):
            self.total_bytes += len(chunk)
            self._chunks.append(chunk)
        os.close(self._descriptor)

    def close(self) -> None:
        """Wait for the end of the stream; a stray process that keeps it open is not waited for."""
        self._thread.join(_DRAIN_S)

    def text(self) -> str:
        return b"".join(tuple(self._chunks))[-KEPT_BYTES:].decode("utf-8", "replace")
