"""Telling the kernel what a partition table says: partx."""

from __future__ import annotations

from pathlib import Path

from agent.linux.run import run


def update(disk: Path) -> None:
    """Make the kernel's partitions of `disk` those of its table; ones in use are kept."""
    run(["partx", "--update", disk])
