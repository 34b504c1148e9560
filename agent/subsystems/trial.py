"""What makes an updated system give way when it does not work: planted by stage, gone at commit.

Nothing of it needs the agent of the new system, or Python. A timer restarts the machine when
nobody has committed in time; where the host has a watchdog, systemd keeps it fed, so that a frozen
PID 1 ends; kernels restart after a panic. The firmware then boots the old system, which is still
the first of BootOrder. A hang before userspace needs a watchdog of the firmware.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agent.api.hostconfig import Health, HostConfiguration, SystemdCheck
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files, grub
from agent.subsystems import health
from agent.subsystems.boot import families

TIMER = "trident-commit-deadline.timer"
SERVICE = "trident-commit-deadline.service"
WATCHDOG_S = 30
WATCHDOGS = (Path("/dev/watchdog0"), Path("/dev/watchdog"))
_UNITS = Path("etc/systemd/system")
_WANTED_BY = _UNITS / "sysinit.target.wants"
_WATCHDOG = Path("etc/systemd/system.conf.d/50-trident-trial.conf")
_GRUB_CONFIGS = tuple(Path(family.own_config) for family in families.GRUB_FAMILIES)
_SERVICE_TEXT = """\
[Unit]
Description=Return to the previous system: this one was not committed in time
DefaultDependencies=no
SuccessAction=reboot-force

[Service]
Type=oneshot
"""


class Trial:
    """Plants the deadline and the watchdog in the target of an A/B update."""

    name = "trial"

    def __init__(self, watchdogs: Sequence[Path] = WATCHDOGS) -> None:
        self._watchdogs = watchdogs

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the servicing host."""

    def stage(self, context: Context) -> Sequence[Step]:
        if context.servicing is not ServicingType.AB_UPDATE:
            return ()
        seconds = deadline_s(context.configuration)
        watchdog = any(path.exists() for path in self._watchdogs)
        return (
            Step(
                "trial/deadline",
                Phase.CONFIGURE,
                f"giving the new system {seconds} s to prove itself",
                partial(_plant, seconds, watchdog),
                tuple(Effect(Verb.WRITE, f"/{path}") for path in planted(watchdog=watchdog)),
            ),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()


def deadline_s(configuration: HostConfiguration) -> int:
    """Seconds from the start of the kernel until the update must be committed. Pure."""
    given = configuration.internal_params.commit_deadline_seconds
    return max(given, 1) + _longest_check_s(configuration.health)


def timer_text(seconds: int) -> str:
    """The timer unit. It starts with the first units and survives emergency mode. Pure."""
    return f"""\
[Unit]
Description=Deadline for the commit of an update
DefaultDependencies=no
IgnoreOnIsolate=yes
Conflicts=shutdown.target
Before=shutdown.target

[Timer]
OnBootSec={seconds}s
AccuracySec=1s
Unit={SERVICE}
"""


def planted(*, watchdog: bool) -> tuple[Path, ...]:
    """The files that a target on trial holds, relative to its root. Pure."""
    units = (_UNITS / SERVICE, _UNITS / TIMER, _WANTED_BY / TIMER)
    return (*units, _WATCHDOG) if watchdog else units


def present(root: Path) -> tuple[Path, ...]:
    """What of it is in the system below `root`, the link that starts the timer before the timer."""
    paths = (root / path for path in reversed(planted(watchdog=True)))
    return tuple(path for path in paths if path.is_symlink() or path.exists())


def withdraw(root: Path) -> None:
    """Take all of it out of the system below `root`. A timer that runs is the caller's to stop."""
    for path in present(root):
        path.unlink()
        files.sync_directory(path.parent)


def _longest_check_s(checks: Health) -> int:
    chosen = health.select(checks.checks, ServicingType.AB_UPDATE)
    limits = [
        check.timeout_seconds if isinstance(check, SystemdCheck) else int(health.SCRIPT_TIMEOUT_S)
        for check in chosen
    ]
    return max(limits, default=0)


def _plant(seconds: int, watchdog: bool, context: Context) -> None:
    root = context.newroot
    wanted = root / _WANTED_BY
    wanted.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write(root / _UNITS / SERVICE, _SERVICE_TEXT, mode=0o644)
    files.write(root / _UNITS / TIMER, timer_text(seconds), mode=0o644)
    link = wanted / TIMER
    link.unlink(missing_ok=True)
    os.symlink(f"../{TIMER}", link)
    files.sync_directory(wanted)
    if watchdog:
        (root / _WATCHDOG).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        text = f"[Manager]\nRuntimeWatchdogSec={WATCHDOG_S}s\n"
        files.write(root / _WATCHDOG, text, mode=0o644)
    for path in _GRUB_CONFIGS:
        _restart_after_panic(root / path)


def _restart_after_panic(config: Path) -> None:
    """Have the kernels of the target's own grub.cfg restart after a panic, if it has one."""
    if not config.is_file():
        return
    text = config.read_text()
    changed = grub.set_panic(text, grub.PANIC_S)
    if changed != text:
        files.write(config, changed, mode=config.stat().st_mode & 0o777)
