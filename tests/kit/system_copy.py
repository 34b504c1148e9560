"""A copy of the running system to change at will: an overlay in memory, ready for chroot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.linux import chroot, mounts


@contextmanager
def system_copy(place: Path) -> Iterator[Path]:
    """The root of the copy, below the empty directory `place`. Needs root.

    The running system stays what it is. /tmp and /run of the copy are empty.
    """
    memory, root = place / "memory", place / "root"
    with mounts.mounted("tmpfs", memory, filesystem="tmpfs"):
        for name in ("upper", "work"):
            (memory / name).mkdir()
        options = (f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work",)
        with (
            mounts.mounted("overlay", root, filesystem="overlay", options=options),
            mounts.mounted("tmpfs", root / "tmp", filesystem="tmpfs"),
            mounts.mounted("tmpfs", root / "run", filesystem="tmpfs"),
            chroot.special_filesystems(root),
        ):
            yield root
