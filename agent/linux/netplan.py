"""Networks by netplan."""

from __future__ import annotations

from pathlib import Path

from agent.linux.run import run

_APPLY_TIMEOUT_S = 180.0


def generate(root: Path = Path("/")) -> None:
    """Check the netplan files of the system below `root` and write its back-end's files."""
    run(["netplan", "generate", "--root-dir", root])


def apply() -> None:
    """Bring the running system's network to what its netplan files say."""
    run(["netplan", "apply"], timeout_s=_APPLY_TIMEOUT_S)
