"""An A/B update of a machine to an image of 4 GiB: what it fetches and writes, how long it takes.

A virtual machine is installed from the boot server and then updated with the agent on its own disk,
with real firmware, kernel and partitions. Seconds are those of the guest, whose processor is
emulated unless there is KVM. Bytes are counted by the guest's disk and network adapter.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from agent.cosi import gpt
from agent.linux import loop, mounts
from agent.linux.run import run as run_command
from lab import paths, runner, scenario
from lab.report import Report, Result
from tests.bench import bench_stream

ROOT_BYTES = 4 << 30
FILLED = 0.92
_NEEDED_BYTES = 14 << 30
"""Free disk: the large disk image, its COSI image three times, what the machine writes."""
_SECTOR = 512
_SECTORS_WRITTEN = 6
"""The field of /sys/block/*/stat."""


def run() -> dict[str, object]:
    """Measure; see the module's text. Raises RuntimeError when the machine does not get there."""
    folder = paths.build("vm")
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        told = f"{folder} has {free >> 30} GiB free, {_NEEDED_BYTES >> 30} are needed"
        raise RuntimeError(f"{told}: make room, as with `trident-iso cache prune`")
    with tempfile.TemporaryDirectory(prefix="bench-update-", dir=folder) as name:
        raw = Path(name) / "large.raw"
        _make_disk(raw)
        text = Path(__file__).with_name("update.yaml").read_text(encoding="utf-8")
        report = runner.run("bench-update", scenario.parse(text.replace("${raw}", str(raw))))
    if report.result is not Result.PASSED:
        raise RuntimeError(f"the machine was not updated: {report.reason}")
    return _figures(report)


def _make_disk(raw: Path) -> None:
    """The sample OS with a root of ROOT_BYTES, filled with this machine's own files."""
    iso = paths.program("trident-iso")
    size = f"{ROOT_BYTES >> 20}M"
    make: list[str | Path] = [iso, "os-image", "--version", "2", "--size", size, "--output", raw]
    run_command(make, timeout_s=1800)
    with raw.open("rb") as disk:
        front = disk.read(1 << 20)
    table = gpt.parse(front, raw.stat().st_size)
    root = max(table.partitions, key=table.size)
    with (
        loop.attached(raw, offset_bytes=table.offset(root), size_bytes=table.size(root)) as device,
        tempfile.TemporaryDirectory() as point,
        mounts.mounted(device, Path(point)) as tree,
    ):
        free = shutil.disk_usage(tree).free
        bench_stream.link_files(tree / "srv", int(free * FILLED))


def _figures(told: Report) -> dict[str, object]:
    """From what the guest printed before and after staging."""
    before, after = (
        output.output.splitlines() for output in told.outputs if "/proc/uptime" in output.command
    )
    peaks = [output.output for output in told.outputs if "peak_memory" in output.command]
    peak = json.loads(peaks[0].splitlines()[-1])["value"]
    return {
        "rootBytes": ROOT_BYTES,
        "fetchedBytes": int(after[2]) - int(before[2]),
        "writtenBytes": (_written(after[1]) - _written(before[1])) * _SECTOR,
        "stageSeconds": round(float(after[0].split()[0]) - float(before[0].split()[0]), 1),
        "agentPeakRssMiB": round(peak / 2**20, 1),
    }


def _written(stat: str) -> int:
    return int(stat.split()[_SECTORS_WRITTEN])


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
