"""Changing UEFI boot entries: efibootmgr. What is there is read by `agent.linux.bootvars`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run


def create(disk: Path, partition_number: int, label: str, loader: str) -> None:
    """Make an entry for a program on a partition, without adding it to BootOrder."""
    run(
        [
            "efibootmgr",
            "--quiet",
            "--create-only",
            "--disk",
            disk,
            "--part",
            str(partition_number),
            "--label",
            label,
            "--loader",
            loader,
        ]
    )


def delete(number: str) -> None:
    """Delete one entry; efibootmgr takes it out of BootOrder too."""
    run(["efibootmgr", "--quiet", "--bootnum", number, "--delete-bootnum"])


def set_next(number: str) -> None:
    """Boot this entry once, at the next boot."""
    run(["efibootmgr", "--quiet", "--bootnext", number])


def clear_next() -> None:
    """Forget which entry was to be booted once. BootNext must be set."""
    run(["efibootmgr", "--quiet", "--delete-bootnext"])


def set_order(order: Sequence[str]) -> None:
    """Set BootOrder; an empty one deletes the variable."""
    if order:
        run(["efibootmgr", "--quiet", "--bootorder", ",".join(order)])
    else:
        run(["efibootmgr", "--quiet", "--delete-bootorder"])
