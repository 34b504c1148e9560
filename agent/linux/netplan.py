"""Networks by netplan."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.linux.run import run

FOLDER = Path("etc/netplan")
"""Where a system keeps its netplan files, relative to its root."""
_APPLY_TIMEOUT_S = 180.0


def apply(previous: Path | None = None) -> None:
    """Bring the running system's network to what its netplan files say.

    `previous`: a root with the netplan files from before; virtual interfaces that only they have
    are removed.
    """
    state = ["--state", str(previous)] if previous is not None else []
    run(["netplan", "apply", *state], timeout_s=_APPLY_TIMEOUT_S)


def generate(root: Path) -> None:
    """Have the backend's files made below `root` from the netplan files there."""
    run(["netplan", "generate", "--root-dir", root])


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """A root, for the length of the block, that holds only a copy of `root`'s netplan files."""
    with tempfile.TemporaryDirectory(prefix="trident-netplan-") as directory:
        target = Path(directory) / FOLDER
        target.mkdir(parents=True)
        for source in sorted((root / FOLDER).glob("*.yaml")):
            shutil.copy2(source, target)
        yield Path(directory)
