"""systemd's own tools: reboot, the state of units, which units of a target start at boot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run

_WAIT_ONLINE = "systemd-networkd-wait-online.service"
_NOT_ACTIVE = (3, 4)
_NOT_LOADED = 5
_ANY_STATE = (0, 1, 2, 3, 4)


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
    reload()


def enable(units: Sequence[str], root: Path) -> None:
    """Enable units of the system below `root`, which may be the running one. Starts nothing."""
    if units:
        run(["systemctl", "--root", root, "enable", *units])


def reload() -> None:
    """Have the service manager read all unit files anew."""
    run(["systemctl", "daemon-reload"])


def await_online(timeout_s: float) -> None:
    """Wait until systemd-networkd says that the network is up, by this system's own standard.

    Raises command-failed.
    """
    run(["systemctl", "start", _WAIT_ONLINE], timeout_s=timeout_s)


def enable_in(root: Path, unit: str) -> None:
    """Enable a unit of the system below `root` by that system's systemctl.

    Raises command-failed, also for a unit that it does not have.
    """
    run(["systemctl", "--root", "/", "enable", "--", unit], chroot=root)


def disable_in(root: Path, unit: str) -> None:
    """Disable a unit of the system below `root`, as `enable_in` enables one."""
    run(["systemctl", "--root", "/", "disable", "--", unit], chroot=root)


def disable(units: Sequence[str], root: Path) -> None:
    """Disable units of the target system below `root`."""
    if units:
        run(["systemctl", "--root", root, "disable", *units])


def status(unit: str) -> str:
    """What `systemctl status` says of a unit of the running system, whatever its state."""
    argv = ["systemctl", "status", "--no-pager", "--full", unit]
    return run(argv, ok=_ANY_STATE, merge_stderr=True).stdout


def virtualization() -> str | None:
    """The kind of virtual machine this system runs in; None on bare metal."""
    return _detected("--vm")


def container() -> str | None:
    """The kind of container this system runs in; None outside of one."""
    return _detected("--container")


def _detected(kind: str) -> str | None:
    found = run(["systemd-detect-virt", kind], ok=(0, 1)).stdout.strip()
    return None if found in ("", "none") else found
