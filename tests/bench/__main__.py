"""`make bench`: run the benchmarks one after another and write their figures as JSON.

Each `tests.bench.bench_*` module has `run() -> dict`: ratios of interleaved pairs, medians, and the
raw figures they come from. The machine's load stands beside them, because it explains outliers.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """The benchmarks there are: `stream` for bench_stream.py."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def measure(name: str) -> dict[str, object]:
    """Run one benchmark in this process."""
    load_before = os.getloadavg()[0]
    figures = importlib.import_module(f"tests.bench.bench_{name}").run()
    return {"loadBefore": load_before, "loadAfter": os.getloadavg()[0], "figures": figures}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(names())} (default: all)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # machines and servers end with it
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    report: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    for name in arguments.names or names():
        print(f"== {name}", flush=True)
        report[name] = measure(name)
        print(json.dumps(report[name], indent=2), flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
