"""Files as block devices: losetup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.linux.run import run

_CONTROL = Path("/dev/loop-control")


@contextmanager
def attached(
    file: Path, *, read_only: bool = False, offset_bytes: int = 0, size_bytes: int | None = None
) -> Iterator[Path]:
    """A loop device over `file` (or the part of it given) for the length of the block."""
    if not _CONTROL.exists():
        run(["modprobe", "loop"])
    argv: list[str | Path] = ["losetup", "--find", "--show", f"--offset={offset_bytes}"]
    if read_only:
        argv.append("--read-only")
    if size_bytes is not None:
        argv.append(f"--sizelimit={size_bytes}")
    device = Path(run([*argv, file]).stdout.strip())
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])
