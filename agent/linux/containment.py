"""Everything that a script starts, found and killed when the script has ended.

A program that calls setsid(2) leaves its process group, and one whose parent ends becomes the child
of another: neither leaves its cgroup. Without a cgroup v2 hierarchy that can be written, what a
script starts is known by a variable in its environment; only a program that clears its environment
and whose parent has ended is missed then. cgroups(7).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

MARK = "TRIDENT_SCRIPT"
"""The variable that marks what belongs to one script, where there is no cgroup."""
EMPTY_LIMIT_S = 5.0
"""How long killed processes may take to be gone."""
_MOMENT_MS = 100
_JOIN = 'echo 0 >"$1" && shift && exec "$@"'
_MOUNTINFO = Path("/proc/self/mountinfo")
_OWN_CGROUP = Path("/proc/self/cgroup")
_PROC = Path("/proc")


class Containment(Protocol):
    """What a script runs in."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that the script must be started with."""
        ...

    def command(self, argv: Sequence[str]) -> Sequence[str]:
        """The command that runs `argv` inside."""
        ...

    def kill(self) -> None:
        """Kill all that is inside."""
        ...


@contextmanager
def contained() -> Iterator[Containment]:
    """A containment for one script; what is still in it at the end of the block is killed."""
    directory = _make_cgroup()
    if directory is None:
        marked = Marked()
        try:
            yield marked
        finally:
            marked.kill()
        return
    cgroup = Cgroup(directory)
    try:
        yield cgroup
    finally:
        cgroup.kill()
        cgroup.remove()


class Cgroup:
    """A cgroup v2 directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    def command(self, argv: Sequence[str]) -> Sequence[str]:
        return ["/bin/sh", "-c", _JOIN, "sh", str(self._directory / "cgroup.procs"), *argv]

    def kill(self) -> None:
        switch = self._directory / "cgroup.kill"
        if switch.exists():
            switch.write_text("1")
        end = time.monotonic() + EMPTY_LIMIT_S
        while (pids := self._pids()) and time.monotonic() < end:
            for pid in pids:
                _kill(pid)
            self._await_change()

    def remove(self) -> None:
        """Take the directories away; one that cannot be emptied stays."""
        for directory in (*_below(self._directory), self._directory):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _pids(self) -> list[int]:
        found: list[int] = []
        for directory in (*_below(self._directory), self._directory):
            with contextlib.suppress(OSError):
                found += map(int, (directory / "cgroup.procs").read_text().split())
        return found

    def _await_change(self) -> None:
        """Wait until the kernel says that the cgroup has got empty, a moment at most."""
        with (self._directory / "cgroup.events").open("rb") as events:
            events.read()
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            poll.poll(_MOMENT_MS)


class Marked:
    """Processes that carry the mark, and their descendants."""

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex

    @property
    def environment(self) -> Mapping[str, str]:
        return {MARK: self._token}

    def command(self, argv: Sequence[str]) -> Sequence[str]:
        return argv

    def kill(self) -> None:
        """Until a look at all processes finds none: one may fork while it is looked for."""
        end = time.monotonic() + EMPTY_LIMIT_S
        while (pids := self._pids()) and time.monotonic() < end:
            for pid in pids:
                _kill(pid)
            for pid in pids:
                _await_end(pid)

    def _pids(self) -> set[int]:
        parents = {pid: _parent(pid) for pid in _all_pids()}
        found = {pid for pid in parents if self._carries(pid)}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return {pid for pid in found if not _is_zombie(pid)}

    def _carries(self, pid: int) -> bool:
        try:
            variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return False
        return f"{MARK}={self._token}".encode() in variables


def parse_own(cgroups: str, mountinfo: str) -> Path | None:
    """The directory of this process' own cgroup v2; None where there is none. Pure."""
    own = next((line[3:] for line in cgroups.splitlines() if line.startswith("0::")), None)
    mounted = next(
        (line.split()[4] for line in mountinfo.splitlines() if " - cgroup2 " in line), None
    )
    if own is None or mounted is None:
        return None
    return Path(mounted) / own.lstrip("/")


def make_below(own: Path) -> Path | None:
    """A new cgroup in `own` that processes may be put into; None where none can be."""
    directory = own / f"trident-script-{uuid.uuid4().hex}"
    try:
        directory.mkdir()
        if (directory / "cgroup.type").read_text().strip() == "domain":
            return directory
        directory.rmdir()
    except OSError:
        return None
    return None


def _make_cgroup() -> Path | None:
    try:
        own = parse_own(_OWN_CGROUP.read_text(), _MOUNTINFO.read_text())
    except OSError:
        return None
    return make_below(own) if own else None


def _below(directory: Path) -> list[Path]:
    """The directories below, the deepest first."""
    return [Path(path) for path, _, _ in os.walk(directory, topdown=False)][:-1]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _parent(pid: int) -> int:
    """The parent's pid; 0 when the process is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _is_zombie(pid: int) -> bool:
    fields = _stat(pid)
    return not fields or fields[0] in ("Z", "X")


def _stat(pid: int) -> list[str]:
    """Of /proc/PID/stat what follows the name: state, parent ..."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _await_end(pid: int) -> None:
    """Wait until a killed process has ended, a moment at most."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(_MOMENT_MS)
        finally:
            os.close(descriptor)
