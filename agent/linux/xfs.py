"""Identifiers of XFS file systems (xfsprogs). The file system must not be mounted."""

from __future__ import annotations

from pathlib import Path

from agent.linux.run import run

_TIMEOUT_S = 600.0


def set_uuid(device: Path, uuid: str) -> None:
    """Give the file system another UUID. Raises command-failed when its log is not clean."""
    run(["xfs_admin", "-U", uuid, device], timeout_s=_TIMEOUT_S)


def check(device: Path) -> None:
    """Check the file system without changing it. Raises command-failed when it is damaged."""
    run(["xfs_repair", "-n", device], timeout_s=_TIMEOUT_S)
