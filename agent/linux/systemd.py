"""systemd's own tools: reboot, the state of units, disabling units of a target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run

_NOT_ACTIVE = (3, 4)
_NOT_LOADED = 5


def reboot() -> None:
    """Flush all file systems and ask the service manager for a reboot; returns before it ends."""
    os.sync()
    run(["systemctl", "reboot"], env={"SYSTEMD_IGNORE_CHROOT": "true"})


def is_active(unit: str) -> bool:
    """Whether a unit of the running system is active."""
    return run(["systemctl", "is-active", "--quiet", unit], ok=(0, *_NOT_ACTIVE)).returncode == 0


def stop(unit: str) -> None:
    """Stop a unit of the running system and forget its file; one that is not loaded is fine."""
    run(["systemctl", "stop", unit], ok=(0, _NOT_LOADED))
    run(["systemctl", "daemon-reload"])


def disable(units: Sequence[str], root: Path) -> None:
    """Disable units of the target system below `root`."""
    if units:
        run(["systemctl", "--root", root, "disable", *units])
