"""dm-verity hash trees, checked in user space: neither root nor a device is needed."""

from __future__ import annotations

from pathlib import Path

from agent.linux import json_output
from agent.linux.run import run

_OK, _WRONG_ROOT, _WRONG_BLOCK = 0, 1, 2
_TIMEOUT_S = 7200.0


def matches(data: Path, hash_tree: Path, root_hash: str) -> bool:
    """Whether every block of `data` is what the tree and the root hash (hexadecimal) promise.

    Raises command-failed when that could not be found out.
    """
    argv: list[str | Path] = ["veritysetup", "verify", data, hash_tree, root_hash]
    result = run(argv, ok=(_OK, _WRONG_ROOT, _WRONG_BLOCK), timeout_s=_TIMEOUT_S)
    if result.returncode == _OK:
        return True
    # Other failures have the same exit statuses.
    if "Verification" not in result.stderr:
        raise json_output.unexpected("veritysetup", result.stderr.strip())
    return False
