"""Turns a tree of Debian packages into the live servicing system: units, consoles, identity.

The system runs from a squashfs under a tmpfs overlay, for minutes, as root: what serves long-lived
systems (timers, persistence, set-up at first boot) is masked, because starting it costs time.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from iso_builder import debian

LEFT_OUT = (
    "boot",
    "dev/*",
    "proc/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "usr/bin/perl*",
    "usr/lib/python3*/test",
    "usr/lib/python3*/ensurepip",
    "usr/lib/python3*/lib2to3",
    "usr/lib/python3*/pydoc_data",
    "usr/lib/udev/hwdb.bin",
    "usr/lib/udev/hwdb.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/libicu*",
    "usr/lib/x86_64-linux-gnu/libperl*",
    "usr/lib/x86_64-linux-gnu/perl*",
    "usr/sbin/xfs_scrub*",
    "usr/share/perl*",
    "usr/share/zoneinfo/right",
    "usr/share/zoneinfo/posix",
    "var/cache/*",
    "var/lib/apt/*",
    "var/lib/dpkg/info",
    "var/log/*",
)
"""What the squashfs does not hold (mksquashfs wildcards): files that packages need to be installed
and nothing needs to run."""

_MASKED = (
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "mdadm-shutdown.service",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mdmonitor-oneshot.timer",
    "mdmonitor.service",
    "proc-sys-fs-binfmt_misc.automount",
    "remote-fs.target",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-repart.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
)
_ENABLED = (
    "trident-collect.service",
    "trident-install.service",
    "trident-lease.service",
    "trident-network.service",
    "trident-shell.service",
)
_UNITS = (*_ENABLED, "trident-console@.service", "trident-rescue.service")
_MEDIUM_LINKS = ("trident_cdrom", "mnt/trident_cdrom")
"""Where Host Configurations written for upstream's media look for images."""
_JOURNAL = "[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\nRateLimitIntervalSec=0\n"


def configure(tree: Path) -> None:
    """Write the live system's own files into the tree. Needs `VERSION_ID` in its os-release."""
    _identify(tree)
    _units(tree)
    debian.install(
        tree, "usr/lib/trident-live/open-consoles", _text("live/open-consoles"), mode=0o755
    )
    debian.install(tree, "usr/lib/trident-live/dhcp-event", _text("dhcp-event.sh"), mode=0o755)
    debian.install(tree, "etc/systemd/journald.conf.d/trident.conf", _JOURNAL)
    debian.install(tree, "etc/resolv.conf", "")
    _forget_when(tree / "etc/mdadm/mdadm.conf")
    # The initrd has configured an interface by its kernel name; udev must not rename it.
    debian.link(tree, "etc/systemd/network/99-default.link", "/dev/null")
    (tree / "etc/trident").mkdir(exist_ok=True)
    # Machines must not share them: the agent makes keys when it lets somebody in.
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in _MEDIUM_LINKS:
        debian.link(tree, name, "/run/trident/medium")


def _forget_when(path: Path) -> None:
    """Drop the lines in which a configuration file says when it was made."""
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "auto-generated on" not in line))


def _identify(tree: Path) -> None:
    release = (tree / "usr/lib/os-release").read_text()
    marks = 'VARIANT="Trident servicing system"\nVARIANT_ID=trident-live\n'
    debian.install(tree, "usr/lib/os-release", release + marks)
    debian.install(tree, "etc/hostname", "trident-live\n")
    debian.install(tree, "etc/hosts", "127.0.0.1 localhost trident-live\n::1 localhost\n")
    debian.install(tree, "etc/machine-id", "")
    debian.install(tree, "etc/issue", _text("live/issue"))
    debian.install(tree, "etc/motd", _text("live/issue").split("\n", 1)[1])


def _units(tree: Path) -> None:
    folder = "etc/systemd/system"
    for name in _UNITS:
        debian.install(tree, f"{folder}/{name}", _text(f"live/{name}"))
    for name in _ENABLED:
        debian.link(tree, f"{folder}/multi-user.target.wants/{name}", f"../{name}")
    for name in _MASKED:
        debian.link(tree, f"{folder}/{name}", "/dev/null")
    debian.link(tree, f"{folder}/default.target", "/usr/lib/systemd/system/multi-user.target")


def _text(name: str) -> str:
    return files("iso_builder").joinpath("files", name).read_text()
