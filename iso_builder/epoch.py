"""The one moment that everything built says it was made at, so that two builds are equal.

SOURCE_DATE_EPOCH (reproducible-builds.org) sets it, in seconds since 1970.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from agent.api.errors import Kind, TridentError

USUAL_S: Final = 1_700_000_000


def seconds() -> int:
    """The moment. Raises command-line for a SOURCE_DATE_EPOCH that is none."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or str(USUAL_S)
    if not text.isdecimal() or int(text) >= 1 << 32:
        raise TridentError(
            Kind.INVALID_INPUT,
            "command-line",
            f"SOURCE_DATE_EPOCH={text} is no number of seconds since 1970 before 2106",
            hint="unset it, or set it as `git log -1 --format=%ct` gives it",
        )
    return int(text)


def settle(tree: Path, *, since_s: float = 0) -> None:
    """Set the times of everything in a tree that is newer than `since_s` to the moment.

    What packages brought keeps its own time: byte code names that of its source.
    """
    moment = seconds()
    for folder, names, files in os.walk(tree, topdown=False):
        for path in (*(os.path.join(folder, name) for name in (*names, *files)), folder):
            if os.lstat(path).st_mtime >= since_s:
                os.utime(path, (moment, moment), follow_symlinks=False)
