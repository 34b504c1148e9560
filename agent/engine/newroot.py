"""The target system, mounted below one directory while it is being built.

Mounts go in path order and come off in reverse. What an earlier run left mounted is taken off
first. An unmount that fails while another error is on its way is logged and does not hide it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.errors import context as while_doing
from agent.api.storage import FileSystemType
from agent.engine.context import NEWROOT, Context
from agent.linux import chroot, files, mounts, udev

FALLBACK = Path("/var/lib/trident-overlay/newroot")
_SCRATCH = {Path("/tmp"): "mode=1777", Path("/run"): "mode=0755"}
_UNMOUNT_TRIES = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewrootMount:
    """One mount of the target. `path` is absolute in the target."""

    path: Path
    source: Path | None
    """None for a file system without a device."""
    filesystem: str | None
    options: tuple[str, ...]


def table(context: Context) -> tuple[NewrootMount, ...]:
    """What belongs below the newroot, in mount order: parents before children.

    /tmp and /run are memory while the target is being built.
    """
    found = []
    for filesystem in context.configuration.storage.filesystems:
        if filesystem.mount_point is None:
            continue
        device_id = filesystem.device_id
        kind = filesystem.effective_type
        found.append(
            NewrootMount(
                path=Path(filesystem.mount_point.path),
                source=context.device_path(device_id) if device_id is not None else None,
                filesystem=str(kind) if kind is FileSystemType.TMPFS else None,
                options=filesystem.mount_point.option_list,
            )
        )
    taken = {mount.path for mount in found}
    for path, options in _SCRATCH.items():
        if path not in taken:
            found.append(NewrootMount(path, None, "tmpfs", (options,)))
    return tuple(sorted(found, key=lambda mount: mount.path.parts))


def choose(preferred: Path = NEWROOT, fallback: Path = FALLBACK) -> Path:
    """The directory to mount the target on: made when absent, empty, writable.

    Raises servicing/mount-newroot when neither will do.
    """
    for directory in (preferred, fallback):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if not any(directory.iterdir()):
            return directory
    raise TridentError(
        Kind.SERVICING,
        "mount-newroot",
        f"neither {preferred} nor {fallback} is an empty directory",
        hint="empty one of them",
    )


def release(root: Path) -> None:
    """Unmount whatever is mounted on and below `root`; nothing when nothing is.

    Raises servicing/unmount-newroot when something stays busy.
    """
    for last_try in (False,) * (_UNMOUNT_TRIES - 1) + (True,):
        if mounts.at(root) is None:
            return
        udev.settle()
        try:
            mounts.unmount(root, recursive=True)
        except TridentError as error:
            if last_try:
                raise TridentError(
                    Kind.SERVICING,
                    "unmount-newroot",
                    f"{root} could not be unmounted: {error.message}",
                    hint=f"processes that hold it: {_holders(root) or 'none found'}",
                ) from error


def release_stale() -> None:
    """Unmount what an interrupted run left on either directory."""
    for directory in (NEWROOT, FALLBACK):
        if directory.is_dir():
            release(directory)


@contextmanager
def mounted(context: Context) -> Iterator[Path]:
    """The target mounted at `context.newroot` for the length of the block."""
    root = context.newroot
    try:
        for mount in table(context):
            _mount(mount, root)
        yield root
    except BaseException:
        try:
            release(root)
        except TridentError as error:
            log.error("%s", error.one_line())
        raise
    release(root)


@contextmanager
def chrootable(root: Path) -> Iterator[Path]:
    """/dev, /proc and /sys mounted in the newroot for the length of the block."""
    with chroot.special_filesystems(root):
        yield root


def _mount(mount: NewrootMount, root: Path) -> None:
    target = files.inside(root, mount.path)
    source = mount.source or mount.filesystem or "none"
    with while_doing(f"mounting {source} on {target}"):
        target.mkdir(parents=True, exist_ok=True)
        mounts.mount(source, target, filesystem=mount.filesystem, options=mount.options)


def _holders(root: Path) -> str:
    """Pid and name of processes that work or run inside `root`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _works_in(process, root):
            found.append(f"{process.name} ({_name(process)})")
    return ", ".join(found)


def _works_in(process: Path, root: Path) -> bool:
    for link in ("cwd", "root", "exe"):
        try:
            if Path(os.readlink(process / link)).is_relative_to(root):
                return True
        except OSError:
            continue
    return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "ended"
