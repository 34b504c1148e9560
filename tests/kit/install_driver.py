"""Runs `agent.servicing.install` for real, with its disks and firmware replaced by plain files.

Started inside a private mount namespace whose root is an overlay, so that the agent takes it for a
servicing system. Usage: `install_driver WORK_DIRECTORY OPERATIONS [STEP_TO_BE_KILLED_AT]`.

Storage makes ext4 images and fills the root with a static busybox; boot writes a file. All other
parts are the agent's own: reports, datastore, newroot, chroot, scripts, files, users, host name.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agent.api.events import Event, StepStarted
from agent.api.hostconfig import HostConfiguration
from agent.engine.context import NEWROOT, Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux.run import run
from agent.servicing import install
from agent.servicing.install import InstallRequest
from agent.servicing.operation import Operation
from agent.servicing.subsystems import Subsystems, final_status
from agent.subsystems.extensions.subsystem import Extensions
from agent.subsystems.history import History
from agent.subsystems.hooks import Hooks
from agent.subsystems.initrd import Initrd, Inputs
from agent.subsystems.management import Management
from agent.subsystems.network import Network
from agent.subsystems.osconfig import OsConfig
from agent.subsystems.pre_reboot import PreReboot
from agent.subsystems.selinux import Selinux
from tests.kit import small_os
from tests.kit.mountinfo import mount_points

SIZE = 32 << 20


class FileStorage:
    """Partitions are files below `work`."""

    name = "storage"

    def __init__(self, work: Path) -> None:
        self._work = work

    def tools(self, _: Context) -> Sequence[str]:
        return ("mkfs.ext4",)

    def validate(self, _: Context) -> None:
        """Files are always there."""

    def stage(self, _: Context) -> Sequence[Step]:
        destroy = (Effect(Verb.DESTROY, "files"),)
        return (
            Step("storage/make", Phase.CREATE, "making file systems", self._make, destroy),
            Step("storage/fill", Phase.PROVISION, "filling the root", small_os.fill_context),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()

    def _make(self, context: Context) -> None:
        for name in ("esp", "root-a", "root-b", "trident"):
            file = self._work / f"{name}.img"
            with file.open("wb") as stream:
                stream.truncate(SIZE)
            run(["mkfs.ext4", "-q", "-F", file])
            context.facts.partition_paths[name] = file


class FileBoot:
    """The firmware is a file, written only when the target knows what it is."""

    name = "boot"

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing to check."""

    def stage(self, _: Context) -> Sequence[Step]:
        return ()

    def finalize(self, _: Context) -> Sequence[Step]:
        return (Step("boot/entries", Phase.FINALIZE, "writing the entry", _write_entry),)


def _write_entry(context: Context) -> None:
    stored = context.newroot / "var/lib/trident/datastore.sqlite"
    if not stored.exists():
        raise RuntimeError("the firmware is told first")
    (context.newroot / "boot/efi/entry").write_text("AZLA\n")


def subsystems(work: Path, log_directory: Path | None) -> Subsystems:
    """The agent's own subsystems around storage and boot of files."""
    hooks, inputs = Hooks(), Inputs()
    ordered = (
        PreReboot(),
        FileStorage(work),
        inputs,
        Management(final_status),
        FileBoot(),
        Network(),
        OsConfig(),
        Extensions(),
        hooks,
        Initrd(inputs),
        History(log_directory),
        Selinux(),
    )
    return Subsystems(ordered, hooks)


def configuration(work: Path) -> HostConfiguration:
    document: dict[str, Any] = json.loads((work / "configuration.json").read_text())
    return HostConfiguration.model_validate_json(json.dumps(document))


def main() -> None:
    work = Path(sys.argv[1])
    operations = frozenset(Operation(name) for name in sys.argv[2].split(",") if name)
    kill_at = sys.argv[3] if len(sys.argv) > 3 else None

    def watch(event: Event) -> None:
        print(event.type, getattr(event, "step", ""), flush=True)
        if isinstance(event, StepStarted) and event.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    request = InstallRequest(configuration(work), operations, (watch,))
    outcome = install.run(request, partial(subsystems, work))
    left = mount_points(NEWROOT)
    print("outcome", outcome.status.servicing_state, outcome.reboot, "left", left)


if __name__ == "__main__":
    main()
