"""The one place that spawns processes.

List argv, never a shell; fixed PATH and LC_ALL; empty stdin unless given; always a timeout;
secrets by stdin, never in argv. A failure carries the last KiB of stderr and a line to rerun by
hand. `run()` is for commands that end, `spawn()` for what keeps running. Every command is logged
at level TRACE.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux.interruption import check, held

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_TIMEOUT_S = 120.0
_STDERR_TAIL = 1024
_KILL_GRACE_S = 5.0
LOOK_S = 0.5
"""How often a wait for a command looks whether it was interrupted."""
TRACE = 5
"""The log level below DEBUG."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a finished command left: exit status and both streams (bytes; text as UTF-8)."""

    argv: tuple[str, ...]
    returncode: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "replace")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment every child gets: fixed PATH and locale, HOME, plus `extra`."""
    base = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/root")}
    return base | dict(extra or {})


def find(binary: str) -> Path | None:
    """Absolute path of a host tool, or None."""
    found = shutil.which(binary, path=SEARCH_PATH)
    return Path(found) if found else None


def require(binary: str) -> Path:
    """Absolute path of a host tool. Raises missing-binary."""
    found = find(binary)
    if found is None:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "missing-binary",
            f"the program '{binary}' is not installed",
            hint=f"install the package that holds {binary}",
            fields={"binary": binary},
        )
    return found


@held()
def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    stdin: bytes = b"",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    ok: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    chroot: Path | None = None,
    merge_stderr: bool = False,
) -> Result:
    """Run a command to its end and return its output.

    `ok` lists the accepted exit statuses; `chroot` runs it inside that root directory. A command
    that outlives `timeout_s`, or is interrupted, is killed with its process group.
    Raises missing-binary, servicing/command-could-not-execute, servicing/command-failed.
    """
    words = tuple(os.fspath(word) for word in argv)
    if chroot is not None:
        words = ("chroot", os.fspath(chroot), *words)
    program = words[0] if os.path.isabs(words[0]) else os.fspath(require(words[0]))
    log.log(TRACE, "running %s", shlex.join(words))
    try:
        with _filled(stdin) as given:
            process = subprocess.Popen(
                (program, *words[1:]),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
                env=environment(env),
                cwd=cwd,
                start_new_session=True,
            )
    except OSError as error:
        raise could_not_execute(words, error) from error
    try:
        out, err = _communicate(process, timeout_s)
    except subprocess.TimeoutExpired as late:
        _end_group(process)
        told = (late.output if merge_stderr else late.stderr) or b""
        how = f"did not end within {timeout_s:g} s and was killed"
        raise _failed(words, _with_tail(how, told)) from None
    except BaseException:
        _end_group(process)
        raise
    result = Result(words, process.returncode, out, err or b"")
    if result.returncode not in ok:
        raise _failed(words, _explain(result.returncode, out if merge_stderr else err or b""))
    return result


class Process:
    """A running child in its own process group. Made by `spawn`."""

    def __init__(self, popen: subprocess.Popen[bytes], argv: tuple[str, ...], log: Path) -> None:
        self._popen = popen
        self.argv = argv
        self.log = log

    @property
    def pid(self) -> int:
        return self._popen.pid

    @held()
    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._popen.poll()

    @held()
    def wait(self, timeout_s: float) -> int | None:
        """Wait at most `timeout_s`; the exit status, or None if it still runs.

        An interruption waits for the next look, not longer.
        """
        end = time.monotonic() + timeout_s
        while not self._ends_within(min(LOOK_S, end - time.monotonic())):
            if time.monotonic() >= end:
                return None
            check()
        return self._popen.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    @held()
    def stop(self, grace_s: float = _KILL_GRACE_S) -> int:
        """SIGTERM, wait `grace_s`, then SIGKILL; returns the exit status."""
        if self._popen.poll() is None:
            self.signal(signal.SIGTERM)
            if not self._ends_within(grace_s):
                self.signal(signal.SIGKILL)
        return self._popen.wait()

    def _ends_within(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        return self._popen.returncode is not None


@contextmanager
def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Process]:
    """Keep a program running for the length of the block; output goes to `log` (appended).

    Leaves nothing running: the whole process group is stopped at the end of the block. The block is
    `held`: an interruption waits for its end.
    """
    words = tuple(os.fspath(word) for word in argv)
    program = words[0] if os.path.isabs(words[0]) else os.fspath(require(words[0]))
    with held():
        try:
            with log.open("ab") as sink:
                popen = subprocess.Popen(
                    (program, *words[1:]),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env=environment(env),
                    cwd=cwd,
                    start_new_session=True,
                    pass_fds=tuple(pass_fds),
                )
        except OSError as error:
            raise could_not_execute(words, error) from error
        process = Process(popen, words, log)
        try:
            yield process
        finally:
            process.stop()


@contextmanager
def _filled(data: bytes) -> Iterator[int]:
    """A descriptor that `data` is read from, then the end: a pipe, so that it is nowhere else."""
    if not data:
        yield subprocess.DEVNULL
        return
    reader, writer = os.pipe()
    try:
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, len(data))
            os.write(writer, data)
        finally:
            os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _communicate(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bytes | None]:
    """Both streams, to their ends. An interruption waits for the next look, not longer."""
    end = time.monotonic() + timeout_s
    while True:
        left_s = end - time.monotonic()
        try:
            return process.communicate(timeout=max(0.0, min(left_s, LOOK_S)))
        except subprocess.TimeoutExpired:
            if left_s <= LOOK_S:
                raise
        check()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _explain(returncode: int, told: bytes) -> str:
    how = f"was killed by signal {-returncode}" if returncode < 0 else f"exited with {returncode}"
    return _with_tail(how, told)


def _with_tail(how: str, told: bytes) -> str:
    tail = told[-_STDERR_TAIL:].decode("utf-8", "replace").strip()
    return f"{how}: {tail}" if tail else how


def could_not_execute(words: Sequence[str], error: OSError) -> TridentError:
    """The error for a program that could not be started."""
    return TridentError(
        Kind.SERVICING,
        "command-could-not-execute",
        f"{words[0]} could not be started: {error.strerror or error}",
        fields={"binary": words[0]},
    )


def _failed(words: tuple[str, ...], explanation: str) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "command-failed",
        f"{Path(words[0]).name} {explanation}",
        hint=f"rerun by hand: {shlex.join(words)}",
        fields={"binary": words[0], "explanation": explanation},
    )
