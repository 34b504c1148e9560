"""The network: one netplan file, and cloud-init kept away from it.

In a newroot it is written. In the running system it is tried in a folder first, then written and
applied; taken back, the files of before are there again, byte for byte, and applied.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from agent.api.osconfig import Netplan
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files, keepsake, netplan
from agent.linux.run import run

NETPLAN_FILE = Path("/etc/netplan/99-trident.yaml")
CLOUD_INIT_FILE = Path("/etc/cloud/cloud.cfg.d/99-use-trident-networking.cfg")
KEEPSAKE = Path("/var/lib/trident/netplan-before")
"""The files of before while a runtime update changes them."""
_CLOUD_INIT_TEXT = "network: {config: disabled}\n"
_NETPLAN = (Path("usr/sbin/netplan"), Path("usr/bin/netplan"))
_WRITTEN = (NETPLAN_FILE, CLOUD_INIT_FILE)
_RUNNING = Path("/")

log = logging.getLogger(__name__)


class Network:
    """Writes os.netplan into the newroot, or changes the running network."""

    name = "network"

    def tools(self, context: Context) -> Sequence[str]:
        if context.servicing.is_runtime:
            return ("netplan",) if _changed(context) else ()
        return ("chroot",) if context.configuration.os.netplan else ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the servicing host."""

    def stage(self, context: Context) -> Sequence[Step]:
        if context.configuration.os.netplan is None:
            return ()
        if context.servicing.is_runtime:
            return (_trying(),) if _changed(context) else ()
        return (
            Step(
                "network/netplan",
                Phase.CONFIGURE,
                "configuring the target's network",
                _configure,
                tuple(Effect(Verb.WRITE, str(path)) for path in _WRITTEN),
            ),
        )

    def finalize(self, context: Context) -> Sequence[Step]:
        if not context.servicing.is_runtime or not _changed(context):
            return ()
        changed = (
            Effect(Verb.CHANGE, str(NETPLAN_FILE), "removed")
            if context.configuration.os.netplan is None
            else Effect(Verb.WRITE, str(NETPLAN_FILE))
        )
        return (
            Step(
                "network/apply",
                Phase.FINALIZE,
                "changing the network of the running system",
                _apply,
                (changed, Effect(Verb.RUN, "netplan apply")),
                undo=_take_back,
            ),
        )


def render(body: Netplan) -> str:
    """The netplan file's text."""
    return yamltext.dump(
        {"network": body.model_dump(mode="json", by_alias=True, exclude_none=True)}
    )


def write(body: Netplan, root: Path) -> None:
    """Write the netplan file of the system below `root`, mode 0600: it may hold Wi-Fi keys."""
    target = files.inside(root, NETPLAN_FILE)
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write(target, render(body), mode=0o600)


def tidy() -> None:
    """Forget the files of before: the change counts, or was taken back."""
    keepsake.forget(KEEPSAKE)


def _changed(context: Context) -> bool:
    return context.configuration.os.netplan != context.old_status.spec.os.netplan


def _configure(context: Context) -> None:
    body = context.configuration.os.netplan
    if body is None:
        return
    root = context.newroot
    write(body, root)
    if not any((root / program).exists() for program in _NETPLAN):
        raise TridentError(
            Kind.SERVICING,
            "generate-netplan-config",
            "the Host Configuration sets os.netplan, but the image holds no netplan",
            hint="add netplan (netplan.io) to the image, or remove os.netplan",
        )
    run(["netplan", "generate"], chroot=root)
    _keep_cloud_init_away(root)


def _trying() -> Step:
    return Step(
        "network/try",
        Phase.PREPARE,
        "having netplan read os.netplan",
        _try,
        (Effect(Verb.RUN, "netplan generate", "in a folder of its own"),),
    )


def _try(context: Context) -> None:
    """Have netplan make its backend's files, of the new file and the host's others, elsewhere."""
    body = context.configuration.os.netplan
    if body is None:
        return
    with netplan.copied(_RUNNING) as root:
        write(body, root)
        try:
            netplan.generate(root)
        except TridentError as error:
            raise TridentError(
                Kind.SERVICING,
                "generate-netplan-config",
                f"netplan does not accept os.netplan: {error.message}",
                hint="correct os.netplan; nothing was changed",
            ) from error


def _apply(context: Context) -> None:
    """Keep the files of before, write the new ones, apply them."""
    keepsake.keep(_WRITTEN, KEEPSAKE)
    body = context.configuration.os.netplan
    with netplan.copied(_RUNNING) as before:
        if body is None:
            for path in _WRITTEN:
                path.unlink(missing_ok=True)
        else:
            write(body, _RUNNING)
            _keep_cloud_init_away(_RUNNING)
        try:
            netplan.apply(before)
        except TridentError as error:
            raise TridentError(
                Kind.SERVICING,
                "apply-netplan-config",
                f"the network could not be changed: {error.message}",
                hint="correct os.netplan",
            ) from error


def _take_back(_: Context) -> None:
    """Put the files of before back and apply them, also when netplan cannot read the others."""
    with netplan.copied(_RUNNING) as failed:
        if not keepsake.put_back(KEEPSAKE):
            return
        try:
            netplan.apply(failed)
        except TridentError as error:
            log.warning("virtual interfaces may be left over: %s", error.one_line())
            netplan.apply()


def _keep_cloud_init_away(root: Path) -> None:
    target = files.inside(root, CLOUD_INIT_FILE)
    if target.parent.is_dir():
        files.write(target, _CLOUD_INIT_TEXT, mode=0o644)
