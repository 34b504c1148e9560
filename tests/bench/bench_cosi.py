"""Building a COSI file against `qemu-img convert | zstd`: how long, and how much memory.

Both read the same qcow2 disk and compress with the same zstd level, window and threads; the
pipeline makes one compressed raw disk of it, synced as well, without metadata, hashes or shrinking.
Each run is a process of its own, timed from its start to its end; the runs alternate. Memory is
that of the largest process of each.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.linux.run import run as run_command
from tests.bench import bench_stream
from tests.bench.bench_stream import peak_rss_mib
from tests.tools.cosi import disks, filesystems
from tests.tools.cosi.disks import Part
from tests.unit.cosi.images import uki_bytes

PAIRS = 3
LEVEL = 3
SIZES = (256 * 2**20, 1024 * 2**20)
"""Bytes of the root file system: two sizes tell whether memory grows with the disk."""
_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class Run:
    """One run. Seconds of wall clock, MiB of the largest process, bytes of the result."""

    wall_s: float
    rss_mib: float
    result_bytes: int


def run() -> dict[str, object]:
    """Measure; see the module's text."""
    return {f"{size >> 20}MiB": _measure(size) for size in SIZES}


def _measure(size: int) -> dict[str, object]:
    ours: list[Run] = []
    pipeline: list[Run] = []
    with _disk(size) as disk:
        for _ in range(PAIRS):
            pipeline.append(_pipeline(disk))
            ours.append(_ours(disk))
    ratios = [theirs.wall_s / mine.wall_s for theirs, mine in zip(pipeline, ours, strict=True)]
    return {
        "pairs": [
            {"pipeline": asdict(theirs), "ours": asdict(mine)}
            for theirs, mine in zip(pipeline, ours, strict=True)
        ],
        "ratio": round(statistics.median(ratios), 2),
        "oursRssMiB": max(entry.rss_mib for entry in ours),
        "pipelineRssMiB": max(entry.rss_mib for entry in pipeline),
    }


def _ours(disk: Path) -> Run:
    target = disk.with_name("image.cosi")
    argv = [sys.executable, "-m", "tests.bench.bench_cosi", "ours", str(disk), str(target)]
    return _timed(argv, target)


def _pipeline(disk: Path) -> Run:
    target = disk.with_name("image.raw.zst")
    argv = [sys.executable, "-m", "tests.bench.bench_cosi", "pipeline", str(disk), str(target)]
    return _timed(argv, target)


def _timed(argv: list[str], target: Path) -> Run:
    started = time.monotonic()
    output = run_command(argv, cwd=Path(__file__).parents[2], timeout_s=_TIMEOUT_S).stdout
    wall_s = time.monotonic() - started
    size = target.stat().st_size
    target.unlink()
    report = json.loads(output.splitlines()[-1])
    return Run(round(wall_s, 2), round(report["rssMiB"], 1), size)


def _build_once(disk: Path, target: Path) -> None:
    """The measured process: build, tell how large the largest process was."""
    from iso_builder.cosi.build import Options, Packing, build

    build(disk, target, Options(packing=Packing(LEVEL, threads=os.cpu_count() or 1)))
    print(json.dumps({"rssMiB": max(peak_rss_mib(), _children_rss_mib())}))


def _convert_once(disk: Path, target: Path) -> None:
    """qemu-img cannot write to a pipe: it writes a sparse raw file, which zstd reads."""
    raw = target.with_suffix(".raw")
    script = (
        f"qemu-img convert -f qcow2 -O raw {disk} {raw} && "
        f"zstd -q -{LEVEL} -T0 --zstd=windowLog=22 {raw} -o {target} && sync {target} && rm {raw}"
    )
    run_command(["sh", "-c", script], timeout_s=_TIMEOUT_S)
    print(json.dumps({"rssMiB": _children_rss_mib()}))


def _children_rss_mib() -> float:
    """The largest child, at least as large as this process was when it started one."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


@contextmanager
def _disk(size: int) -> Iterator[Path]:
    """A qcow2 disk with a root file system of this machine's own files, three quarters full."""
    with tempfile.TemporaryDirectory(prefix="bench-cosi-") as folder:
        place = Path(folder)
        tree = place / "tree"
        bench_stream.link_files(tree, size * 3 // 4)
        for name, data in (
            ("etc/os-release", disks.OS_RELEASE),
            ("var/lib/dpkg/status", disks.DPKG_STATUS),
        ):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(data)
        root = filesystems.sized(place / "root", size)
        make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(size // 8192), "-d"]
        run_command([*make, tree, root], timeout_s=600)
        shutil.rmtree(tree)
        uki = {"EFI/Linux/a.efi": uki_bytes("ro", "6.1")}
        esp = filesystems.fat(place / "esp", uki, size=36 << 20)
        raw = disks.gpt_disk(place / "disk.raw", [Part(esp, disks.ESP), Part(root, disks.ROOT)])
        root.unlink()
        qcow2 = place / "disk.qcow2"
        run_command(["qemu-img", "convert", "-O", "qcow2", raw, qcow2], timeout_s=600)
        raw.unlink()
        yield qcow2


if __name__ == "__main__":
    {"ours": _build_once, "pipeline": _convert_once}[sys.argv[1]](
        Path(sys.argv[2]), Path(sys.argv[3])
    )
