"""The target's network: one netplan file, and cloud-init kept away from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from agent.api.osconfig import Netplan
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files
from agent.linux.run import run

NETPLAN_FILE = Path("/etc/netplan/99-trident.yaml")
CLOUD_INIT_FILE = Path("/etc/cloud/cloud.cfg.d/99-use-trident-networking.cfg")
_NETPLAN = (Path("usr/sbin/netplan"), Path("usr/bin/netplan"))


class Network:
    """Writes os.netplan into the newroot."""

    name = "network"

    def tools(self, context: Context) -> Sequence[str]:
        return ("chroot",) if context.configuration.os.netplan else ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the servicing host."""

    def stage(self, context: Context) -> Sequence[Step]:
        if context.configuration.os.netplan is None:
            return ()
        return (
            Step(
                "network/netplan",
                Phase.CONFIGURE,
                "configuring the target's network",
                _configure,
                (Effect(Verb.WRITE, str(NETPLAN_FILE)), Effect(Verb.WRITE, str(CLOUD_INIT_FILE))),
            ),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()


def render(netplan: Netplan) -> str:
    """The netplan file's text."""
    return yamltext.dump(
        {"network": netplan.model_dump(mode="json", by_alias=True, exclude_none=True)}
    )


def write(netplan: Netplan, root: Path) -> None:
    """Write the netplan file of the system below `root`, mode 0600: it may hold Wi-Fi keys."""
    target = files.inside(root, NETPLAN_FILE)
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write(target, render(netplan), mode=0o600)


def _configure(context: Context) -> None:
    netplan = context.configuration.os.netplan
    if netplan is None:
        return
    root = context.newroot
    write(netplan, root)
    if not any((root / program).exists() for program in _NETPLAN):
        raise TridentError(
            Kind.SERVICING,
            "generate-netplan-config",
            "the Host Configuration sets os.netplan, but the image holds no netplan",
            hint="add netplan (netplan.io) to the image, or remove os.netplan",
        )
    run(["netplan", "generate"], chroot=root)
    cloud_init = files.inside(root, CLOUD_INIT_FILE)
    if cloud_init.parent.is_dir():
        files.write(cloud_init, "network: {config: disabled}\n", mode=0o644)
