"""Runs `update`, `commit` and `rollback` for real on a host whose disks and firmware are files.

Started inside a private mount namespace whose root is an overlay. `/` stands for whichever side
was booted: the link of that side leads to a device node with the number of `/`, the other side's to
a file with an ext4 file system. The firmware is a file with BootNext and BootOrder by label.

    update_driver WORK prepare | update OPERATIONS [STEP] | commit | rollback OPERATIONS [STEP]
    update_driver WORK rollback-ab OPERATIONS | rollback-runtime OPERATIONS | check | plan
    update_driver WORK add-netplan ADDRESS (to the recorded configuration, for the next update)
    update_driver WORK power-on | boot SIDE | status

STEP is the step that the process is killed at; `STEP!`: at its end. All but storage, the firmware
and netplan is the agent's own. netplan is a script that keeps what it was last told to apply in
WORK/applied; it fails when that says `unreachable` or WORK/netplan-broken is there, and does not
accept `refused`. There is no service manager to reload.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from agent import datastore
from agent.api import dump
from agent.api.errors import TridentError
from agent.api.events import Event, StepDone, StepStarted
from agent.api.hostconfig import DEFAULT_DATASTORE, HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState, ServicingType
from agent.engine.context import NEWROOT, Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import mounts, probe
from agent.linux.interruption import raise_on_signals
from agent.linux.run import run
from agent.servicing import commit, rollback, update
from agent.servicing.chain import TargetKind
from agent.servicing.operation import Operation, Outcome
from agent.servicing.subsystems import Subsystems, final_status
from agent.subsystems.boot import names
from agent.subsystems.extensions.subsystem import Extensions
from agent.subsystems.history import History
from agent.subsystems.hooks import Hooks
from agent.subsystems.initrd import Initrd, Inputs
from agent.subsystems.management import Management
from agent.subsystems.network import Network
from agent.subsystems.osconfig import OsConfig
from agent.subsystems.pre_reboot import PreReboot
from agent.subsystems.selinux import Selinux
from agent.subsystems.trial import Trial
from tests.kit import small_os
from tests.kit.mountinfo import mount_points

SIZE = 32 << 20
NAMES = ("esp", "root-a", "root-b", "trident")
SIDES = {AbVolume.A: "root-a", AbVolume.B: "root-b"}
RUNNING = Path("/mnt/running")
NETPLAN = """#!/bin/sh -e
if [ "$1" = generate ]; then ! grep -q refused "$3"/etc/netplan/*; exit; fi
echo "$@" | sed 's#/tmp/[^ ]*#DIR#' >> {work}/netplan.log
cat /etc/netplan/*.yaml > {work}/applied 2>/dev/null || :
if [ -e {work}/netplan-broken ] || grep -q unreachable {work}/applied; then exit 1; fi
"""
SYSTEMCTL = """#!/bin/sh
[ "$1" = daemon-reload ] || exec /usr/bin/systemctl "$@"
"""


@dataclass
class FileFirmware:
    """Boot entries by label; each label is a side."""

    path: Path

    def read(self) -> tuple[str | None, list[str]]:
        state = json.loads(self.path.read_text())
        return state["next"], state["order"]

    def write(self, following: str | None, order: list[str]) -> None:
        self.path.write_text(json.dumps({"next": following, "order": order}))

    def power_on(self) -> str:
        """Choose what is booted; BootNext is used up."""
        following, order = self.read()
        self.write(None, order)
        return following or order[0]


class FileStorage:
    """The inactive side is a file; image contents are a static busybox."""

    name = "storage"

    def tools(self, _: Context) -> Sequence[str]:
        return ("mkfs.ext4",)

    def validate(self, _: Context) -> None:
        """Files are always there."""

    def stage(self, context: Context) -> Sequence[Step]:
        destroy = (Effect(Verb.DESTROY, context.block_device_id("root")),)
        return (
            Step("storage/make", Phase.CREATE, "making the root", _make_root, destroy),
            Step("storage/fill", Phase.PROVISION, "filling the root", small_os.fill_context),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()


class FileBoot:
    """The steps of the boot subsystem, on a firmware that is a file."""

    name = "boot"

    def __init__(self, firmware: FileFirmware) -> None:
        self._firmware = firmware

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing to check."""

    def stage(self, _: Context) -> Sequence[Step]:
        return (
            Step("boot/withdraw", Phase.PREPARE, "forgetting the other side", self._withdraw),
            Step("boot/files", Phase.PROVISION, "copying boot files", copy_boot_files),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return (
            Step("boot/next", Phase.FINALIZE, "setting BootNext", self._set_next),
            Step("boot/order", Phase.FINALIZE, "setting BootOrder", self._set_order),
        )

    def _withdraw(self, context: Context) -> None:
        label = names.directory(0, context.target_volume)
        following, order = self._firmware.read()
        rest = [other for other in order if other != label]
        self._firmware.write(None if following == label else following, rest)

    def _set_next(self, context: Context) -> None:
        _, order = self._firmware.read()
        self._firmware.write(names.directory(0, context.target_volume), order)

    def _set_order(self, context: Context) -> None:
        label = names.directory(0, context.target_volume)
        following, order = self._firmware.read()
        rest = [other for other in order if other != label]
        first = context.servicing is ServicingType.MANUAL_ROLLBACK_AB
        self._firmware.write(following, [label, *rest] if first else [*rest, label])


def subsystems(work: Path, log_directory: Path | None) -> Subsystems:
    """The agent's own subsystems around storage and boot of files."""
    hooks, inputs = Hooks(), Inputs()
    ordered = (
        PreReboot(),
        FileStorage(),
        inputs,
        Management(final_status),
        FileBoot(FileFirmware(work / "firmware")),
        Network(),
        OsConfig(),
        Extensions(),
        Trial(),
        hooks,
        Initrd(inputs),
        History(log_directory),
        Selinux(),
    )
    return Subsystems(ordered, hooks)


def copy_boot_files(context: Context) -> None:
    root = context.device_path("root")
    write_boot_files(context.newroot / "boot/efi", context.target_volume, root)


def write_boot_files(esp: Path, side: AbVolume, root: Path) -> None:
    """A loader, and a grub.cfg that looks for the file system on `root`."""
    directory = esp / "EFI" / names.directory(0, side)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bootx64.efi").write_text(f"loader of {side}")
    (directory / "grub.cfg").write_text(f"search --fs-uuid {probe.signature(root).uuid}\n")


def _make_root(context: Context) -> None:
    run(["mkfs.ext4", "-q", "-F", context.device_path("root").resolve()])


def prepare(work: Path) -> None:
    """An installed host: v1 on side A, committed, with something on its shared volume."""
    (work / "disk").mkdir()
    for name in NAMES:
        with (work / f"{name}.img").open("wb") as stream:
            stream.truncate(SIZE)
        if name != "root-b":
            run(["mkfs.ext4", "-q", "-F", work / f"{name}.img"])
        (work / "disk" / name).symlink_to(work / f"{name}.img")
    os.mknod(work / "node", stat.S_IFBLK | 0o600, os.stat("/").st_dev)
    with mounts.mounted(work / "root-a.img", RUNNING):
        small_os.fill(RUNNING)
    with mounts.mounted(work / "esp.img", RUNNING):
        write_boot_files(RUNNING, AbVolume.A, work / "root-a.img")
    shared = Path(DEFAULT_DATASTORE).parent
    shared.mkdir(parents=True, exist_ok=True)
    mounts.mount(work / "trident.img", shared)
    (shared / "keep").write_text("of v1\n")
    status = HostStatus(
        spec=configuration(work),
        servicing_state=ServicingState.PROVISIONED,
        partition_paths={name: PurePosixPath(work / "disk" / name) for name in NAMES},
        ab_active_volume=AbVolume.A,
        trident_version="0.1.0",
    )
    datastore.persist(status, Path(DEFAULT_DATASTORE))
    FileFirmware(work / "firmware").write(None, ["AZLA"])
    for name, text in (("netplan", NETPLAN.format(work=work)), ("systemctl", SYSTEMCTL)):
        fake = Path("/usr/local/sbin") / name
        fake.write_text(text)
        fake.chmod(0o755)
    boot(work, "root-a")


def boot(work: Path, side: str) -> None:
    """From now on the root of the running system is that of `side`."""
    for name in SIDES.values():
        link = work / "disk" / name
        link.unlink()
        link.symlink_to(work / "node" if name == side else work / f"{name}.img")


def power_on(work: Path) -> None:
    """Power came back: what an interrupted run had mounted is gone, the firmware chooses."""
    for directory in (NEWROOT, RUNNING):
        if mounts.at(directory) is not None:
            mounts.unmount(directory, recursive=True)
    side = SIDES[AbVolume.A if FileFirmware(work / "firmware").power_on() == "AZLA" else AbVolume.B]
    run(["systemd-sysext", "unmerge"])
    if Path("/etc/systemd/system/sysinit.target.wants/systemd-sysext.service").is_symlink():
        run(["systemd-sysext", "merge"])
    print("booted", side)
    boot(work, side)


def _running_side(work: Path) -> str:
    node = work / "node"
    return next(name for name in SIDES.values() if (work / "disk" / name).resolve() == node)


def commit_running(work: Path, watch: Callable[[Event], None]) -> Outcome:
    """Commit with the running side's files where the agent looks for them.

    After a commit the firmware prefers that side: no EFI variables are here for the agent to set.
    """
    side = _running_side(work)
    with mounts.mounted(work / f"{side}.img", RUNNING):
        outcome = commit.run(commit.CommitRequest(observers=(watch,), root=RUNNING))
    if outcome.status.servicing_state is ServicingState.PROVISIONED:
        label = "AZLA" if side == "root-a" else "AZLB"
        firmware = FileFirmware(work / "firmware")
        following, order = firmware.read()
        firmware.write(following, [label, *(other for other in order if other != label)])
    return outcome


def configuration(work: Path) -> HostConfiguration:
    return HostConfiguration.model_validate_json((work / "configuration.json").read_text())


def add_netplan(work: Path, address: str) -> None:
    with datastore.opened(Path(DEFAULT_DATASTORE)) as store:
        document = dump.to_plain((store.latest() or HostStatus()).spec)
    body = {"version": 2, "dummy-devices": {"d0": {"addresses": [address]}}}
    os_section = document.get("os")
    assert isinstance(os_section, dict)
    (work / "configuration.json").write_text(
        json.dumps(document | {"os": {**os_section, "netplan": body}})
    )


def _operations(arguments: list[str]) -> frozenset[Operation]:
    return frozenset(Operation(name) for name in arguments[0].split(","))


def perform(work: Path, verb: str, arguments: list[str]) -> Outcome | None:
    """One verb of the agent, or of what is around it."""
    act = WORLD.get(verb)
    if act is not None:
        act(work, *arguments)
        return None
    kill_at = arguments[1] if len(arguments) > 1 else None

    def watch(event: Event) -> None:
        print(event.type, getattr(event, "step", ""), flush=True)
        at_end = isinstance(event, StepDone) and f"{event.step}!" == kill_at
        if at_end or (isinstance(event, StepStarted) and event.step == kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    make = partial(subsystems, work)
    match verb:
        case "update":
            wanted = configuration(work)
            request = update.UpdateRequest(wanted, _operations(arguments), (watch,))
            return update.run(request, make)
        case "finalize-staged":
            finalize = frozenset([Operation.FINALIZE])
            return update.run(update.UpdateRequest(None, finalize, (watch,)), make)
        case "rollback":
            return rollback.run(rollback.RollbackRequest(_operations(arguments), (watch,)), make)
        case "commit":
            return commit_running(work, watch)
    kind = TargetKind(verb.removeprefix("rollback-"))
    asked = rollback.RollbackRequest(_operations(arguments), (watch,), kind=kind)
    return rollback.run(asked, make)


def check(_work: Path) -> None:
    print("next", rollback.check(rollback.targets(Path(DEFAULT_DATASTORE)), None))


def plan(work: Path) -> None:
    request = update.UpdateRequest(configuration(work))
    print(update.preview(request, partial(subsystems, work)).to_text())


WORLD: dict[str, Callable[..., None]] = {
    "prepare": prepare,
    "power-on": power_on,
    "boot": boot,
    "add-netplan": add_netplan,
    "check": check,
    "plan": plan,
}


def main() -> None:
    raise_on_signals()
    work, verb, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    try:
        outcome = perform(work, verb, arguments)
    except TridentError as error:
        print("refused", error.identifier, error.message)
        outcome = None
    if outcome is not None and outcome.error is not None:
        print("gave way", outcome.error.identifier)
    with datastore.opened(Path(DEFAULT_DATASTORE)) as store:
        status = store.latest() or HostStatus()
    print(
        verb,
        status.servicing_state,
        status.spec.os.hostname,
        status.ab_active_volume,
        "reboot" if outcome is not None and outcome.reboot else "stay",
        "left",
        mount_points(NEWROOT),
    )


if __name__ == "__main__":
    main()
