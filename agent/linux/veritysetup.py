"""dm-verity hash trees, checked in user space: neither root nor a device is needed."""

from __future__ import annotations

from pathlib import Path

from agent.linux.run import run

_OK, _WRONG = 0, 1
_TIMEOUT_S = 7200.0


def matches(data: Path, hash_tree: Path, root_hash: str) -> bool:
    """Whether every block of `data` is what the tree and the root hash (hexadecimal) promise."""
    argv: list[str | Path] = ["veritysetup", "verify", data, hash_tree, root_hash]
    return run(argv, ok=(_OK, _WRONG), timeout_s=_TIMEOUT_S).returncode == _OK
