"""Waiting for device nodes and their stable names: udevadm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run

DEFAULT_TIMEOUT_S = 120


def settle(timeout_s: int = DEFAULT_TIMEOUT_S) -> None:
    """Wait until udev has handled every event queued so far."""
    run(["udevadm", "settle", f"--timeout={timeout_s}"], timeout_s=timeout_s + 10.0)


def wait(paths: Sequence[Path], timeout_s: int = DEFAULT_TIMEOUT_S) -> None:
    """Wait until udev has set up all these device names. Raises command-failed when time is up."""
    if not paths:
        return
    run(
        ["udevadm", "wait", "--settle", f"--timeout={timeout_s}", *paths],
        timeout_s=timeout_s + 10.0,
    )
