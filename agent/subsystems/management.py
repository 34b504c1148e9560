"""The agent itself in the target: where its datastore is, and that datastore's first row.

An update leaves the datastore alone: it is on a volume that both sides share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from agent import datastore, settings
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE
from agent.api.status import HostStatus, ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files, systemd
from agent.subsystems import self_upgrade

UNIT = "trident.service"
_UNIT_DIRECTORIES = (Path("usr/lib/systemd/system"), Path("lib/systemd/system"))


class Management:
    """Writes trident.conf, and at finalize the datastore that `trident commit` will find.

    `final_status` gives the status that the target starts with. It is stored before the firmware
    is told to boot the target, and the target is flushed to disk: whatever power cut comes between,
    what boots is complete and knows what it is.
    """

    name = "management"

    def __init__(self, final_status: Callable[[Context], HostStatus]) -> None:
        self._final_status = final_status

    def tools(self, context: Context) -> Sequence[str]:
        return ("systemctl",) if context.configuration.trident.disable else ()

    def validate(self, context: Context) -> None:
        """An agent that is to be copied is there."""
        if self_upgrade.wanted(context):
            self_upgrade.require_possible(context)

    def stage(self, context: Context) -> Sequence[Step]:
        elsewhere = _path(context) != Path(DEFAULT_DATASTORE)
        effects = (Effect(Verb.WRITE, str(settings.CONFIGURATION)),) if elsewhere else ()
        steps = [
            *self_upgrade.steps(context),
            Step(
                "management/settings",
                Phase.CONFIGURE,
                "configuring the agent of the target",
                _write_settings,
                effects,
            ),
        ]
        if context.configuration.trident.disable:
            steps.append(
                Step(
                    "management/disable",
                    Phase.CONFIGURE,
                    "disabling the agent of the target",
                    _disable,
                    (Effect(Verb.CHANGE, UNIT, "not started at boot"),),
                )
            )
        return steps

    def finalize(self, context: Context) -> Sequence[Step]:
        if context.servicing is not ServicingType.CLEAN_INSTALL:
            return (
                Step(
                    "management/flush",
                    Phase.FINALIZE,
                    "flushing the target to disk",
                    lambda _context: os.sync(),
                ),
            )
        return (
            Step(
                "management/datastore",
                Phase.FINALIZE,
                "storing the Host Status in the target",
                self._persist,
                (Effect(Verb.WRITE, str(_path(context))),),
            ),
        )

    def _persist(self, context: Context) -> None:
        """Store the status, then flush everything: a firmware entry never names half a target."""
        target = files.inside(context.newroot, _path(context))
        datastore.persist(self._final_status(context), target)
        os.sync()


def _path(context: Context) -> Path:
    return Path(context.configuration.trident.datastore_path)


def _disable(context: Context) -> None:
    """Keep `trident commit` from running at boot, if the image would run it."""
    if any((context.newroot / directory / UNIT).exists() for directory in _UNIT_DIRECTORIES):
        systemd.disable([UNIT], context.newroot)


def _write_settings(context: Context) -> None:
    """Leave a trident.conf that agrees with the Host Configuration.

    Raises image-bad-agent-configuration when the image's own says something else.
    """
    wanted = settings.Settings(datastore=_path(context))
    target = files.inside(context.newroot, settings.CONFIGURATION)
    present = settings.load(target)
    if present == wanted:
        return
    if present != settings.Settings():
        raise TridentError(
            Kind.INVALID_INPUT,
            "image-bad-agent-configuration",
            f"the image's {settings.CONFIGURATION} puts the datastore at {present.datastore}, "
            f"the Host Configuration at {wanted.datastore}",
            hint="correct trident.datastorePath or remove the file from the image",
        )
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write(target, settings.render(wanted), mode=0o644)
