"""Networks by netplan."""

from __future__ import annotations

from agent.linux.run import run

_APPLY_TIMEOUT_S = 180.0


def apply() -> None:
    """Bring the running system's network to what its netplan files say."""
    run(["netplan", "apply"], timeout_s=_APPLY_TIMEOUT_S)
