"""What is mounted where, as the kernel says."""

from __future__ import annotations

from pathlib import Path


def mount_points(below: Path) -> list[Path]:
    """The mount points at and below a directory, in the order they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]
    return [path for path in found if path.is_relative_to(below)]
