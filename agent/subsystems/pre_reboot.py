"""What runs last before the machine boots the target: scripts.preReboot, and preRebootChecks.

First of all subsystems at finalize: when a script or a check fails, the target is complete and
stays staged, the firmware and the fallback boot files are what they were, and nothing boots the
target. Scripts run in the servicing OS; those by path are read when they run, maybe in a later
process than the one that staged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import Script, Scripts
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import e2fs, files, mounts
from agent.subsystems import scripts

SECTION = "scripts.preReboot"
_SCRIPT_CODE = "run-pre-reboot-script"
_LEFT = "the machine was not told to boot the target, which stays staged"
_HINT = (
    "correct the cause, then finalize again (`--allowed-operations finalize`); a changed Host "
    "Configuration has to be staged again"
)
_BOOTS = frozenset(
    (
        ServicingType.CLEAN_INSTALL,
        ServicingType.AB_UPDATE,
        ServicingType.MANUAL_ROLLBACK_AB,
    )
)

log = logging.getLogger(__name__)


class PreReboot:
    """Runs the operator's scripts and, when asked to, checks the target's file systems."""

    name = "pre-reboot"

    def tools(self, context: Context) -> Sequence[str]:
        return ("e2fsck",) if context.configuration.internal_params.pre_reboot_checks else ()

    def validate(self, context: Context) -> None:
        """Scripts that are files can be read. Raises load-script."""
        for item in _selected(context):
            scripts.content(item, SECTION)

    def stage(self, _: Context) -> Sequence[Step]:
        return ()

    def finalize(self, context: Context) -> Sequence[Step]:
        return (*_scripts(context), *_checks(context))


def _scripts(context: Context) -> Iterator[Step]:
    for number, item in enumerate(_selected(context), 1):
        yield Step(
            f"hooks/preReboot/{item.name or number}",
            Phase.FINALIZE,
            f"running the preReboot script '{item.name or number}'",
            partial(_run, item),
            (Effect(Verb.RUN, f"{item.effective_interpreter} {item.path or '(inline)'}"),),
        )


def _selected(context: Context) -> tuple[Script, ...]:
    if context.servicing not in _BOOTS:
        return ()
    items = _configured(context).pre_reboot
    return tuple(item for item in items if scripts.selected(item.run_on, context.servicing))


def _configured(context: Context) -> Scripts:
    """The scripts of what is installed; on the way back, those of the system that is left."""
    if context.servicing is ServicingType.MANUAL_ROLLBACK_AB:
        return context.old_status.spec.scripts
    return context.configuration.scripts


def _run(item: Script, context: Context) -> None:
    try:
        text = scripts.content(item, SECTION)
        scripts.run(context, item, text, code=_SCRIPT_CODE, target_root=context.newroot)
    except TridentError as error:
        raise TridentError(
            Kind.SERVICING,
            _SCRIPT_CODE,
            f"{error.message}; {_LEFT}",
            hint=_HINT,
            fields=error.fields,
        ) from error


def _checks(context: Context) -> Iterator[Step]:
    if context.configuration.internal_params.pre_reboot_checks:
        yield Step(
            "pre-reboot/checks",
            Phase.FINALIZE,
            "checking the target's file systems",
            check_file_systems,
        )


def check_file_systems(context: Context) -> None:
    """Check the target's ext4 file systems as they are on disk, each read-only for that moment.

    Of an updated host those of the target's side: the others are in use by the running system.
    Raises servicing/pre-reboot-check. Leaves everything mounted as it was.
    """
    installs = context.servicing is ServicingType.CLEAN_INSTALL
    pairs = {pair.id for pair in context.configuration.storage.volume_pairs}
    for filesystem in context.configuration.storage.filesystems:
        if filesystem.mount_path is None or filesystem.device_id is None:
            continue
        if not installs and filesystem.device_id not in pairs:
            continue
        mount = mounts.at(files.inside(context.newroot, str(filesystem.mount_path)))
        if mount is not None and mount.filesystem == "ext4":
            device = context.device_path(filesystem.device_id)
            _check(device, filesystem.mount_path, mount)


def _check(device: Path, name: object, mount: mounts.Mount) -> None:
    try:
        with ExitStack() as stack:
            if not mount.read_only:
                stack.enter_context(mounts.read_only(mount))
            complaint = e2fs.complaint(device)
    except TridentError as error:
        raise _damaged(
            f"the file system of {name} could not be checked: {error.message}"
        ) from error
    if complaint is not None:
        raise _damaged(f"the file system of {name} on {device} is damaged: {complaint}")
    log.info("the file system of %s on %s is in order", name, device)


def _damaged(message: str) -> TridentError:
    return TridentError(Kind.SERVICING, "pre-reboot-check", f"{message}; {_LEFT}", hint=_HINT)
