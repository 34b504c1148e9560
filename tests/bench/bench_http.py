"""Measures the HTTP server against nginx: whole files and ranges, at 1, 16 and 64 clients.

wrk drives both in turn, on the same file in the page cache; each pair of turns gives one ratio and
the median counts. CPU is user and system time for each GB sent: of the HTTP server's processes, and
of those and wrk together.

On the loopback device TCP's work is done, and counted, in whichever of the two the kernel happens
to be, and wrk's share is some ten times the server's: with two processors a little of it more or
less on the server's side says nothing of what a GB costs the server. So the servers are measured
once more with everything on one processor, where sending always does all of that work: there the
server's own time compares.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run as run_command
from tests.kit import nginx, ports
from tests.kit.bootserver import BootServer, write_settings

PAIRS = 6
TURN_S = 2
CLIENTS = (1, 16, 64)
FILE_BYTES = 2 << 30
RANGE_BYTES = 128 << 20
"""What the agent asks for: a partition's image by one request."""
WORKERS = 2
THREADS = 64
_TICKS = os.sysconf("SC_CLK_TCK")
_READ = re.compile(r"BODY (\d+) (\d+)")

_SCRIPT = """\
local size, part = {size}, {part}
request = function()
  if part == 0 then return wrk.format("GET", nil) end
  local first = math.random(0, size / part - 1) * part
  local range = string.format("bytes=%d-%d", first, first + part - 1)
  return wrk.format("GET", nil, {{["Range"] = range}})
end
done = function(summary)
  local errors = summary.errors
  print(string.format("BODY %d %d", summary.bytes, summary.duration))
  if errors.connect + errors.read + errors.write + errors.status > 0 then print("ERRORS") end
end
"""


@dataclass(frozen=True)
class Turn:
    """One run of wrk: GB (10^9) a second; CPU seconds of the server, and of both, for each GB."""

    rate: float
    cpu: float
    both: float


@dataclass(frozen=True)
class Contender:
    """A server under test: its processes and the URL of the file."""

    pids: tuple[int, ...]
    url: str

    def turn(self, script: Path, clients: int) -> Turn:
        """Load it for one turn."""
        before, client = sum(map(_cpu_s, self.pids)), _children_cpu_s()
        argv = ["wrk", "-t1", f"-c{clients}", f"-d{TURN_S}s", "--timeout", "30s", "-s", str(script)]
        said = run_command([*argv, self.url], timeout_s=120).stdout
        match = _READ.search(said)
        if match is None or "ERRORS" in said:
            raise RuntimeError(f"wrk failed on {self.url}: {said}")
        gigabytes = int(match[1]) / 1e9
        spent = sum(map(_cpu_s, self.pids)) - before
        both = spent + _children_cpu_s() - client
        return Turn(gigabytes / (int(match[2]) / 1e6), spent / gigabytes, both / gigabytes)


def run() -> dict[str, object]:
    """All measurements: by kind and number of clients, medians of the pairs' ratios."""
    with tempfile.TemporaryDirectory(prefix="bench-http-") as name:
        folder = Path(name)
        http = {"port": ports.claimed(), "workers": WORKERS, "threads": THREADS}
        ours = BootServer(write_settings(folder, http=http))
        _fill(folder / "files" / "os.cosi")
        figures = _measure(folder, ours)
        with _one_processor():
            return figures | {"oneProcessor": _measure(folder, ours)}


def _measure(folder: Path, server: BootServer) -> dict[str, object]:
    with _servers(folder, server) as (ours, theirs):
        return {
            kind: {
                f"clients{clients}": _compare(folder, ours, theirs, part, clients)
                for clients in CLIENTS
            }
            for kind, part in (("whole", 0), ("ranges", RANGE_BYTES))
        }


@contextmanager
def _one_processor() -> Iterator[None]:
    """What is started within runs on one processor."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _compare(
    folder: Path, ours: Contender, theirs: Contender, part: int, clients: int
) -> dict[str, object]:
    script = folder / "load.lua"
    script.write_text(_SCRIPT.format(size=FILE_BYTES, part=part))
    pairs = []
    for number in range(PAIRS):
        order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        turns = {one.url: one.turn(script, clients) for one in order}
        pairs.append((turns[ours.url], turns[theirs.url]))
        print(f"{part} {clients}: {pairs[-1]}", file=sys.stderr, flush=True)
    return {
        "throughputRatio": round(statistics.median(a.rate / b.rate for a, b in pairs), 3),
        "cpuRatio": round(statistics.median(a.cpu / b.cpu for a, b in pairs if b.cpu), 3),
        "cpuOfBothEndsRatio": round(statistics.median(a.both / b.both for a, b in pairs), 3),
        "ours": _figures([a for a, _ in pairs]),
        "nginx": _figures([b for _, b in pairs]),
    }


def _figures(turns: list[Turn]) -> dict[str, object]:
    return {
        "gbPerS": [round(turn.rate, 2) for turn in turns],
        "cpuSPerGb": [round(turn.cpu, 4) for turn in turns],
        "cpuOfBothEndsSPerGb": [round(turn.both, 4) for turn in turns],
    }


def _fill(image: Path) -> None:
    with image.open("wb") as file:
        for _ in range(FILE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
        # Nothing is to be written back while the servers are measured.
        os.fsync(file.fileno())


@contextmanager
def _servers(folder: Path, ours: BootServer) -> Iterator[tuple[Contender, Contender]]:
    with ours.serving(), nginx.serving(folder / "files", workers=WORKERS) as url:
        yield (
            Contender(_servers_of(ours.url), f"{ours.url}/files/os.cosi"),
            Contender(_servers_of(url), f"{url}/os.cosi"),
        )


def _servers_of(url: str) -> tuple[int, ...]:
    """The master process of an HTTP server and its workers, once all of them are there."""
    pause = threading.Event()
    for _ in range(500):
        found = tuple(_tree(_listener(int(url.rpartition(":")[2]))))
        if len(found) == 1 + WORKERS:
            return found
        pause.wait(0.02)
    raise RuntimeError(f"{url} is served by the processes {found}, not by {WORKERS} workers")


def _listener(port: int) -> int:
    """The first of the processes that listen on a port: the workers' parent."""
    said = run_command(["ss", "-Hltnp", f"sport = :{port}"]).stdout
    return min(int(pid) for pid in re.findall(r"pid=(\d+)", said))


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _tree(int(child)))]


def _children_cpu_s() -> float:
    """Of the programs that were waited for: between two readings that is wrk alone."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
