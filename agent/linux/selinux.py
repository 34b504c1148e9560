"""SELinux of a target system: /etc/selinux/config, and labels by its own setfiles in a chroot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run

CONFIG = Path("etc/selinux/config")
DEFAULT_TYPE = "targeted"
_LABEL_TIMEOUT_S = 1800.0
_SETTING = re.compile(r"^[ \t]*(SELINUX|SELINUXTYPE)[ \t]*=[ \t]*(\S*)[ \t]*$", re.MULTILINE)
_PROGRAMS = (Path("usr/sbin/setfiles"), Path("sbin/setfiles"))


def mode(config: str) -> str | None:
    """The mode in the text of /etc/selinux/config; None when it names none."""
    return dict(_SETTING.findall(config)).get("SELINUX")


def policy_type(config: str) -> str:
    """The name of the policy that the text of /etc/selinux/config chooses."""
    return dict(_SETTING.findall(config)).get("SELINUXTYPE") or DEFAULT_TYPE


def set_mode(config: str, mode: str) -> str:
    """The text of /etc/selinux/config with another mode."""
    line = f"SELINUX={mode}"
    changed, count = re.subn(r"^[ \t]*SELINUX[ \t]*=[^\n]*$", line, config, flags=re.MULTILINE)
    if count:
        return changed
    return f"{config}{'' if not config or config.endswith(chr(10)) else chr(10)}{line}\n"


def file_contexts(policy: str) -> Path:
    """The file that says which label belongs to which path, relative to a root."""
    return Path("etc/selinux") / policy / "contexts/files/file_contexts"


def can_label(root: Path) -> bool:
    """Whether the system below `root` has setfiles."""
    return any((root / program).is_file() for program in _PROGRAMS)


def label(root: Path, policy: str, top: Path, file_systems: Sequence[Path]) -> None:
    """Label `file_systems`, which are mounted at and below `top`, as if `top` were `/`.

    All paths are inside `root`, the system whose setfiles and policy are used. Each file system is
    labelled for itself. Raises command-failed.
    """
    run(
        ["setfiles", "-m", "-r", top, f"/{file_contexts(policy)}", *file_systems],
        chroot=root,
        timeout_s=_LABEL_TIMEOUT_S,
    )
