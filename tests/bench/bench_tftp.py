"""Measures TFTP against dnsmasq: same client program, same files, interleaved, each server alone.

`run()` in a network namespace of its own (needs root, dnsmasq): 16 clients at once, ours with
windowsize 32, dnsmasq without (it has none); then 500 at once through a line that loses 1 %.
The client takes several datagrams a system call (UDP_GRO), so that it is not what is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from agent.linux.run import Process, spawn
from bootserver.tftp import content
from bootserver.tftp.server import Limits, TftpServer
from lab import waiting
from tests.kit.lossy_link import LossyLink
from tests.kit.netns import isolated
from tests.kit.tftp_client import Download, fetch

PAIRS = 5
CLIENTS = 16
FILE_BYTES = 8 << 20
BLOCK_SIZE = 1428
WINDOW_SIZE = 32
MANY = 500
MANY_BYTES = 256 << 10
LOSS = 0.01
TARGET_RATIO = 3.0
HOST = "127.0.0.1"
PORTS = {"trident": 6969, "dnsmasq": 69}
_TICKS = os.sysconf("SC_CLK_TCK")


def run() -> dict[str, object]:
    """All measurements; rates in MB/s (10^6), CPU in ms of the server for each MB."""
    with isolated(), tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "large").write_bytes(os.urandom(FILE_BYTES))
        (root / "loader").write_bytes(os.urandom(MANY_BYTES))
        root.chmod(0o755)
        return compare(root) | {"manyThroughLoss": many(root)}


def compare(root: Path) -> dict[str, object]:
    """Interleaved pairs against dnsmasq."""
    rates: dict[str, list[float]] = {name: [] for name in ("trident", "dnsmasq", "lockstep")}
    cpu: dict[str, list[float]] = {name: [] for name in rates}
    with server("trident", root) as ours, server("dnsmasq", root) as theirs:
        contenders = (
            ("trident", ours, PORTS["trident"], WINDOW_SIZE),
            ("dnsmasq", theirs, PORTS["dnsmasq"], 1),
            ("lockstep", ours, PORTS["trident"], 1),
        )
        for _ in range(PAIRS):
            for name, process, port, window_size in contenders:
                rate, cost = measure(root / "large", process, port, window_size)
                rates[name].append(rate)
                cpu[name].append(cost)
    ratios = [mine / other for mine, other in zip(rates["trident"], rates["dnsmasq"], strict=True)]
    return {
        "clients": CLIENTS,
        "windowSize": WINDOW_SIZE,
        "megabytesPerSecond": _medians(rates),
        "cpuMillisecondsPerMegabyte": _medians(cpu),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(one, 2) for one in ratios],
        "target": TARGET_RATIO,
    }


def measure(file: Path, process: Process, port: int, window_size: int) -> tuple[float, float]:
    """Rate and server CPU of `CLIENTS` downloads of `file` at once. Raises on a wrong byte."""
    before = _cpu_seconds(process)
    fetches = [Download((HOST, port), file.name, BLOCK_SIZE, window_size) for _ in range(CLIENTS)]
    campaign = fetch(fetches, limit_s=120)
    _check(campaign.failures, fetches, file)
    cost = 1e9 * (_cpu_seconds(process) - before) / campaign.total_bytes
    return campaign.megabytes_per_second, cost


def many(root: Path) -> dict[str, object]:
    """`MANY` transfers at once through a line that loses packets; every one hash-checked."""
    with server("trident", root), LossyLink((HOST, PORTS["trident"]), LOSS).running() as link:
        fetches = [Download((HOST, link.port), "loader", BLOCK_SIZE, 8) for _ in range(MANY)]
        campaign = fetch(fetches, limit_s=120)
        _check(campaign.failures, fetches, root / "loader")
        return {
            "transfers": MANY,
            "bytesEach": MANY_BYTES,
            "seconds": round(campaign.seconds, 1),
            "packetsCarried": link.carried,
            "packetsLost": link.dropped,
        }


@contextmanager
def server(name: str, root: Path) -> Iterator[Process]:
    """A server of `root` in its own process, answering when the block starts."""
    commands: dict[str, Sequence[str]] = {
        "trident": (sys.executable, "-m", __spec__.name, "--serve", str(root)),
        "dnsmasq": (
            "dnsmasq", "-d", "-p", "0", "--conf-file=/dev/null", "--user=root", "--enable-tftp",
            "--tftp-root", str(root), "--tftp-max=1000", f"--listen-address={HOST}",
            "--bind-interfaces",
        ),
    }  # fmt: skip
    source = Path(__file__).resolve().parents[2]
    with spawn(commands[name], log=root.parent / f"{root.name}-{name}.log", cwd=source) as process:
        probe = Download((HOST, PORTS[name]), "loader", BLOCK_SIZE)
        waiting.until(lambda: not fetch([probe.again()], limit_s=2).failures, limit_s=20, what=name)
        yield process


def serve(root: Path) -> None:
    """Be our server until killed."""
    server = TftpServer(
        IPv4Address(HOST),
        PORTS["trident"],
        lambda name, _client: content.under(root, name),
        lambda event: None,
        Limits(per_client=MANY * 2),
    )
    server.run(threading.Event())


def _check(failures: list[str], fetches: Sequence[Download], file: Path) -> None:
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    wrong = failures or [one.filename for one in fetches if one.digest != expected]
    if wrong:
        raise RuntimeError(f"{len(wrong)} transfers went wrong, first: {wrong[0]}")


def _cpu_seconds(process: Process) -> float:
    """User and system time of a process so far (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _medians(samples: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(statistics.median(found), 2) for name, found in samples.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=Path, help="be the server under test (used by run)")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return 0
    found = run()
    print(json.dumps(found, indent=2))
    return 0 if float(str(found["ratio"])) >= TARGET_RATIO else 1


if __name__ == "__main__":
    raise SystemExit(main())
