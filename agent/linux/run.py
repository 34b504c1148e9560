"""The one place that spawns processes.

List argv, never a shell; fixed PATH and LC_ALL; empty stdin unless given; always a timeout;
secrets by stdin, never in argv. A failure carries the last KiB of stderr and a line to rerun by
hand. `run()` is for commands that end, `spawn()` for what keeps running. Every command is logged
at level TRACE.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_TIMEOUT_S = 120.0
_STDERR_TAIL = 1024
_KILL_GRACE_S = 5.0
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
    that outlives `timeout_s` is killed with its process group.
    Raises missing-binary, servicing/command-could-not-execute, servicing/command-failed.
    """
    words = tuple(os.fspath(word) for word in argv)
    if chroot is not None:
        words = ("chroot", os.fspath(chroot), *words)
    program = words[0] if os.path.isabs(words[0]) else os.fspath(require(words[0]))
    log.log(TRACE, "running %s", shlex.join(words))
    try:
        process = subprocess.Popen(
            (program, *words[1:]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise could_not_execute(words, error) from error
    try:
        out, err = process.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        process.communicate()
        raise _failed(words, f"did not end within {timeout_s:g} s and was killed") from None
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    result = Result(words, process.returncode, out, err or b"")
    if result.returncode not in ok:
        tail = (out if merge_stderr else result.stderr_bytes)[-_STDERR_TAIL:]
        raise _failed(words, _explain(result.returncode, tail.decode("utf-8", "replace")))
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

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait at most `timeout_s`; the exit status, or None if it still runs."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group."""
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return

    def stop(self, grace_s: float = _KILL_GRACE_S) -> int:
        """SIGTERM, wait `grace_s`, then SIGKILL; returns the exit status."""
        if self._popen.poll() is None:
            self.signal(signal.SIGTERM)
            if self.wait(grace_s) is None:
                self.signal(signal.SIGKILL)
        return self._popen.wait()


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

    Leaves nothing running: the whole process group is stopped at the end of the block.
    """
    words = tuple(os.fspath(word) for word in argv)
    program = words[0] if os.path.isabs(words[0]) else os.fspath(require(words[0]))
    with log.open("ab") as sink:
        try:
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


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _explain(returncode: int, stderr_tail: str) -> str:
    how = f"was killed by signal {-returncode}" if returncode < 0 else f"exited with {returncode}"
    detail = stderr_tail.strip()
    return f"{how}: {detail}" if detail else how


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
