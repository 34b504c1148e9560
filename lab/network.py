"""Private racks: one network namespace with a bridge, its taps, and namespaces cabled to it.

Nothing of a rack is visible to the host's own network. Names carry the owner's pid and start
time, so racks of dead runs are recognised and removed when the next rack is built.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run

PREFIX = "tlab"
BRIDGE = "br0"
SERVER_ADDRESS = "10.77.0.1"
FOREIGN_ADDRESS = "10.77.0.2"
SUBNET = "10.77.0.0/24"
PREFIX_LENGTH = 24

_NAME = re.compile(rf"^{PREFIX}-(\d+)-(\d+)-(\d+)(-\w+)?$")
_counter = itertools.count()


@dataclass(frozen=True)
class Rack:
    """A network namespace that holds bridge `br0` (10.77.0.1/24) and what is plugged into it."""

    name: str

    def inside(self, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
        """The command line that runs `argv` in the rack's network."""
        return ["ip", "netns", "exec", self.name, *(os.fspath(word) for word in argv)]

    def add_tap(self, tap: str) -> None:
        """Plug a new tap interface into the bridge. Raises TridentError."""
        self._ip("tuntap", "add", tap, "mode", "tap")
        self._ip("link", "set", tap, "master", BRIDGE, "up")

    def remove_tap(self, tap: str) -> None:
        """Unplug a tap interface. Raises TridentError."""
        self._ip("link", "delete", tap)

    @contextmanager
    def neighbour(self, label: str, address: str = FOREIGN_ADDRESS) -> Iterator[Rack]:
        """A second namespace cabled to the bridge, with its own address in the same subnet."""
        other = Rack(f"{self.name}-{label}")
        port = f"veth-{label}"
        run(["ip", "netns", "add", other.name])
        try:
            self._ip("link", "add", port, "type", "veth", "peer", "eth0", "netns", other.name)
            self._ip("link", "set", port, "master", BRIDGE, "up")
            other._ip("address", "add", f"{address}/{PREFIX_LENGTH}", "dev", "eth0")
            other._ip("link", "set", "lo", "up")
            other._ip("link", "set", "eth0", "up")
            yield other
        finally:
            run(["ip", "netns", "delete", other.name])

    def _ip(self, *words: str) -> None:
        run(["ip", "-netns", self.name, *words])


@contextmanager
def rack() -> Iterator[Rack]:
    """Build a rack, removing those of dead runs first; it disappears at the end of the block.

    Needs root. Raises TridentError.
    """
    remove_stale()
    new = Rack(f"{PREFIX}-{os.getpid()}-{start_time(os.getpid())}-{next(_counter)}")
    run(["ip", "netns", "add", new.name])
    try:
        new._ip("link", "set", "lo", "up")
        new._ip("link", "add", BRIDGE, "type", "bridge")
        new._ip("address", "add", f"{SERVER_ADDRESS}/{PREFIX_LENGTH}", "dev", BRIDGE)
        new._ip("link", "set", BRIDGE, "up")
        yield new
    finally:
        run(["ip", "netns", "delete", new.name])


def remove_stale() -> list[str]:
    """Remove the namespaces of runs that no longer live, and what runs there; their names."""
    names = [line.split()[0] for line in run(["ip", "netns", "list"]).stdout.splitlines() if line]
    dead = [name for name in names if is_stale(name)]
    for name in dead:
        for pid in run(["ip", "netns", "pids", name], ok=(0, 1)).stdout.split():
            _kill(int(pid))
        run(["ip", "netns", "delete", name], ok=(0, 1))
    return dead


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_stale(name: str) -> bool:
    """Whether `name` is a rack whose owner is gone (its pid is free or was given away again)."""
    match = _NAME.match(name)
    return match is not None and start_time(int(match[1])) != int(match[2])


def start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (proc(5), stat field 22), or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])
