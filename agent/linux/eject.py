"""Opens the tray of a drive: eject."""

from __future__ import annotations

from pathlib import Path

from agent.linux.run import run


def eject(drive: Path) -> None:
    """Take the disc out of `drive`, whose file systems are unmounted. Raises command-failed."""
    run(["eject", drive])
