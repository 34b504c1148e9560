"""Validating: CPU time of `trident validate` from a cold start, and of one of many documents.

Each cold run is a process of its own; its user and system time come from the kernel. The machine is
shared, so the least of the runs stands for the cost, and the median for the conditions.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from agent.linux.run import run as run_command

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests/data/conformance/host-configuration/valid"
COLD_RUNS = 15
DOCUMENTS = 1000
COLD_LIMIT_MS = 300
EACH_LIMIT_MS = 10


def run() -> dict[str, object]:
    """Measure; see the module's text."""
    largest = max(SAMPLES.glob("*.yaml"), key=lambda path: path.stat().st_size)
    interpreter = [_cpu_ms([sys.executable, "-c", "pass"]) for _ in range(COLD_RUNS)]
    cold = [_cpu_ms(_validate([largest])) for _ in range(COLD_RUNS)]
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / f"{number}.yaml" for number in range(DOCUMENTS)]
        for copy in copies:
            shutil.copyfile(largest, copy)
        many = _cpu_ms(_validate(copies))
    each = (many - min(cold)) / (DOCUMENTS - 1)
    return {
        "sample": largest.name,
        "coldCpuMs": {"least": round(min(cold)), "median": round(statistics.median(cold))},
        "interpreterCpuMs": {
            "least": round(min(interpreter)),
            "median": round(statistics.median(interpreter)),
        },
        "eachOfManyCpuMs": round(each, 2),
        "holds": min(cold) <= COLD_LIMIT_MS and each <= EACH_LIMIT_MS,
    }


def _validate(paths: list[Path]) -> list[str]:
    return [sys.executable, "-m", "agent.cli", "validate", *map(os.fspath, paths)]


def _cpu_ms(argv: list[str]) -> float:
    """User and system time of a process that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_command(argv, cwd=ROOT, timeout_s=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
