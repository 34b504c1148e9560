"""The SELinux domain of the programs that the agent starts.

A policy moves tools such as mkfs, mount and efibootmgr into confined domains, which are made for
the running system's own use of them: Debian's keeps efibootmgr from the EFI variables, whoever
starts it. An agent whose domain may run the tools itself keeps them in it. One that may not is
confined on purpose, as by a policy module for it, and is left to that policy.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from agent.linux.run import find

_FS: Final = Path("/sys/fs/selinux")
_CLASS: Final = _FS / "class/file"
_CURRENT: Final = Path("/proc/self/attr/current")
_EXEC: Final = Path("/proc/self/attr/exec")
_LABEL: Final = "security.selinux"
_PROGRAMS: Final = (
    *("chroot", "efibootmgr", "findmnt", "fsck.ext4", "lsblk", "mkfs.ext4", "mkfs.vfat", "mkswap"),
    *("mdadm", "mount", "sfdisk", "sh", "systemctl", "systemd-repart", "udevadm", "umount"),
)
"""Of all kinds that policies have domains for. What runs in the target is started by chroot."""

log = logging.getLogger(__name__)


def keep() -> bool:
    """Keep what this process and its threads start in its own domain; whether that is so now.

    False without SELinux, and where the domain may not run the tools itself. What those start in
    turn goes where the policy says. To be called before there are threads.
    """
    if not _FS.joinpath("access").exists():
        return False
    try:
        own = _CURRENT.read_text().rstrip("\0\n")
        if not all(_may_run(own, label) for label in _labels()):
            return False
        _EXEC.write_text(own)
    except (OSError, ValueError) as error:
        log.debug("the domain of programs stays that of the policy: %s", error)
        return False
    return True


def grants(answer: str, permission: int) -> bool:
    """Whether the kernel's answer to an access question grants a permission (1 is the first).

    The answer begins with a hexadecimal bit mask of what is allowed. Pure.
    """
    return bool(int(answer.split()[0], 16) >> (permission - 1) & 1)


def _labels() -> set[str]:
    """The labels of the tools that are installed."""
    found = (find(program) for program in _PROGRAMS)
    return {os.getxattr(path, _LABEL).decode().rstrip("\0") for path in found if path is not None}


def _may_run(own: str, label: str) -> bool:
    """Whether a process in the context `own` may run a file and stay in it."""
    number = int(_CLASS.joinpath("index").read_text())
    permission = int(_CLASS.joinpath("perms/execute_no_trans").read_text())
    access = os.open(_FS / "access", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(access, f"{own} {label} {number}".encode())
        return grants(os.read(access, 4096).decode(), permission)
    finally:
        os.close(access)
