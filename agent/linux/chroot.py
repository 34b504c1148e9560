"""The kernel's file systems inside a target system, so that its own tools run in a chroot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.linux import mounts

_SPECIAL = (
    ("devtmpfs", "dev"),
    ("proc", "proc"),
    ("sysfs", "sys"),
)


@contextmanager
def special_filesystems(root: Path) -> Iterator[Path]:
    """/dev, /proc and /sys mounted below `root` for the length of the block."""
    with ExitStack() as stack:
        for filesystem, directory in _SPECIAL:
            stack.enter_context(mounts.mounted(filesystem, root / directory, filesystem=filesystem))
        yield root
