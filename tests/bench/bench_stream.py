"""Writing an image: `write_image` against `curl | tee >(sha384sum) | zstd -d | dd oflag=direct`.

Both fetch the same bytes from the same nginx on loopback and write them, synced, to the same loop
device. Each run is a process of its own, timed from its start to its end; the runs alternate.
"""

from __future__ import annotations

import hashlib
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
from dataclasses import dataclass
from pathlib import Path

from agent.cosi import writer
from agent.cosi.reader import open_image
from agent.cosi.source import open_source
from agent.cosi.stream import write_image
from agent.linux import loop
from agent.linux.run import run as run_command
from tests.kit import nginx
from tests.unit.cosi import images

PAIRS = 5
IMAGE_BYTES = 2 * 2**30
ROOT = "images/root.rawzst"
_TREES = ("/usr/lib", "/usr/bin", "/usr/share", "/etc", "/opt", "/var/lib")


@dataclass(frozen=True)
class Run:
    """One write of the image. Seconds of wall clock and of CPU, and the largest process's RSS."""

    wall_s: float
    cpu_s: float
    rss_mib: float


def run() -> dict[str, object]:
    """Measure; see the module's text."""
    cosi = _cached_image()
    ours: list[Run] = []
    pipeline: list[Run] = []
    with _served(cosi) as url, _target() as device:
        offset, length = _member(cosi)
        for _ in range(PAIRS):
            pipeline.append(_run_pipeline(url, offset, length, device))
            ours.append(_run_ours(url, device))
        _same_content(cosi, device)
    ratios = [theirs.wall_s / mine.wall_s for theirs, mine in zip(pipeline, ours, strict=True)]
    wall_s = statistics.median(entry.wall_s for entry in ours)
    return {
        "imageBytes": IMAGE_BYTES,
        "compressedBytes": length,
        "pairs": [
            {"pipelineS": round(theirs.wall_s, 2), "oursS": round(mine.wall_s, 2)}
            for theirs, mine in zip(pipeline, ours, strict=True)
        ],
        "ratio": round(statistics.median(ratios), 2),
        "oursMBps": round(IMAGE_BYTES / wall_s / 1e6),
        "oursCpuS": round(statistics.median(entry.cpu_s for entry in ours), 2),
        "pipelineCpuS": round(statistics.median(entry.cpu_s for entry in pipeline), 2),
        "oursRssMiB": round(max(entry.rss_mib for entry in ours), 1),
    }


def _run_ours(url: str, device: Path) -> Run:
    argv = [sys.executable, "-m", "tests.bench.bench_stream", url, str(device)]
    started = time.monotonic()
    cwd = Path(__file__).parents[2]
    report = json.loads(run_command(argv, cwd=cwd, timeout_s=600).stdout)
    return Run(time.monotonic() - started, report["cpuS"], report["rssMiB"])


def _run_pipeline(url: str, offset: int, length: int, device: Path) -> Run:
    script = (
        f"set -o pipefail; curl -sf -r {offset}-{offset + length - 1} {url}"
        f" | tee >(sha384sum >/dev/null) | zstd -q -d --long=27"
        f" | dd of={device} bs=4M iflag=fullblock oflag=direct conv=fsync status=none"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    run_command(["bash", "-c", script], timeout_s=600)
    wall_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall_s, cpu_s, 0.0)


def _write_once(url: str, device: Path) -> None:
    """The measured process: stream the image, tell what it took."""
    with open_source(url) as source:
        image = open_image(source, None)
        file = next(entry.image for entry in image.metadata.images if entry.image.path == ROOT)
        write_image(image, file, device, progress=lambda _done, _total: None)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpuS": usage.ru_utime + usage.ru_stime, "rssMiB": peak_rss_mib()}))


def peak_rss_mib() -> float:
    """VmHWM: unlike ru_maxrss it does not begin with the parent's size."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def _cached_image() -> Path:
    """A COSI file whose root is 2 GiB of this machine's own files, at least 90 % full."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = base / "trident-appliance" / "bench" / "stream-1"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            _make_image(Path(made))
            os.rename(Path(made) / "done", folder)
    return folder / "image.cosi"


def _make_image(workspace: Path) -> None:
    tree = workspace / "tree"
    raw = workspace / "root.img"
    link_files(tree, IMAGE_BYTES * 92 // 100)
    with raw.open("wb") as out:
        out.truncate(IMAGE_BYTES)
    run_command(
        ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "400000", "-d", tree, raw], timeout_s=600
    )
    packed = workspace / "root.zst"
    run_command(
        ["zstd", "-q", "-3", "--zstd=windowLog=22", "-T2", raw, "-o", packed], timeout_s=600
    )
    done = workspace / "done"
    done.mkdir()
    _assemble(done / "image.cosi", packed)


def _assemble(cosi: Path, packed: Path) -> None:
    """A COSI file around the compressed root; table and ESP are tiny."""
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces)
    with packed.open("rb") as source:
        digest = hashlib.file_digest(source, "sha384").hexdigest()
    root = {
        "path": ROOT,
        "compressedSize": packed.stat().st_size,
        "uncompressedSize": IMAGE_BYTES,
        "sha384": digest,
    }
    metadata["images"][1]["image"] = metadata["disk"]["gptRegions"][2]["image"] = root
    files = []
    for piece in pieces[:2]:
        file = packed.with_name(Path(piece.path).name)
        file.write_bytes(piece.packed)
        files.append((piece.path, file))
    writer.assemble(cosi, json.dumps(metadata).encode(), [*files, (ROOT, packed)])


def link_files(tree: Path, limit_bytes: int) -> None:
    """Copy real files below `tree` until they fill `limit_bytes`."""
    used = 0
    for top in _TREES:
        for folder, _, names in os.walk(top):
            for name in names:
                source = Path(folder) / name
                if source.is_symlink() or not source.is_file() or not os.access(source, os.R_OK):
                    continue
                used += -(-source.stat().st_size // 4096) * 4096 + 300
                if used > limit_bytes:
                    return
                target = tree / source.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


def _member(cosi: Path) -> tuple[int, int]:
    with open_source(cosi.as_uri()) as source:
        member = open_image(source, None).member(ROOT)
    return member.offset, member.size


@contextmanager
def _served(cosi: Path) -> Iterator[str]:
    with nginx.serving(cosi.parent) as base:
        yield f"{base}/{cosi.name}"


@contextmanager
def _target() -> Iterator[Path]:
    """A loop device of the image's size over a file in memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        backing = Path(folder) / "disk"
        with backing.open("wb") as out:
            os.posix_fallocate(out.fileno(), 0, IMAGE_BYTES)
        with loop.attached(backing) as device:
            yield device


def _same_content(cosi: Path, device: Path) -> None:
    """What stands on the device is what the image holds."""
    offset, length = _member(cosi)
    part = f"tail -c +{offset + 1} {cosi} | head -c {length}"
    script = f"{part} | zstd -q -d --long=27 | cmp - {device}"
    run_command(["bash", "-c", script], timeout_s=600)


if __name__ == "__main__":
    _write_once(sys.argv[1], Path(sys.argv[2]))
