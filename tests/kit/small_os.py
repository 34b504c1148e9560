"""The contents of a root file system that is just large enough to be configured: a busybox."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.engine.context import Context

SYSEXT = ("usr/bin/systemd-sysext", "usr/lib/systemd/system/systemd-sysext.service")
"""Of this machine: what merges extension images at boot."""


def fill(root: Path) -> None:
    for directory in ("bin", "etc", "dev", "proc", "sys", "tmp", "run", "var/lib"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "etc/os-release").write_text("ID=debian\n")
    for name in SYSEXT:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path("/") / name, root / name)


def fill_context(context: Context) -> None:
    fill(context.newroot)
