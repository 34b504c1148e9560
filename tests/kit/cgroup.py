"""A cgroup of a test's own, in which the agent makes those of its scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.linux import containment


@contextmanager
def apart(patch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Path]]]:
    """For the length of the block; yields what tells the cgroups that scripts have now.

    Where no cgroup can be made the agent finds none either, and there never are any.
    """
    own = containment.parse_own(
        Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
    )
    directory = containment.make_below(own) if own else None
    patch.setattr(containment, "parse_own", lambda *_: directory)

    def now() -> list[Path]:
        return [entry for entry in directory.iterdir() if entry.is_dir()] if directory else []

    try:
        yield now
    finally:
        for left in (*now(), *([directory] if directory else ())):
            with suppress(OSError):
                left.rmdir()
