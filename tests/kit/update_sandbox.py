"""A sandbox for the update driver: a private mount namespace whose root is an overlay of /.

Its mounts are shared among themselves, as systemd makes those of a host: systemd-sysext needs that.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from agent import datastore
from agent.api import status as host_status
from agent.api.status import HostStatus
from agent.linux.run import run
from tests.kit.small_host import image_and_storage

ROOT = Path(__file__).parents[2]
SANDBOX = """
mount -t tmpfs tmpfs "$1/sandbox"
mkdir "$1/sandbox/upper" "$1/sandbox/work" "$1/sandbox/root"
mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$1/sandbox/upper,workdir=$1/sandbox/work" "$1/sandbox/root"
for name in proc sys dev; do mount --rbind "/$name" "$1/sandbox/root/$name"; done
mount -t tmpfs tmpfs "$1/sandbox/root/run"
mount --make-rshared "$1/sandbox/root"
mkdir -p "$1/sandbox/root$1"
mount --bind "$1" "$1/sandbox/root$1"
rm -rf "$1/sandbox/root/var/lib/trident" "$1/sandbox/root/var/lib/extensions"
mkdir -p "$1/sandbox/root/etc/netplan"
echo 0123456789abcdef0123456789abcdef > "$1/sandbox/root/etc/machine-id"
echo v1 > "$1/sandbox/root/etc/hostname"
"""
_UNSHARE = ("unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c")


def configure(work: Path, name: str, **changes: Any) -> str:
    """Write the Host Configuration called `name`; a shell line that makes it the current one."""

    script = 'echo "$SERVICING_TYPE" > "$TARGET_ROOT/{0}"'
    document: dict[str, Any] = {
        **image_and_storage(work),
        "os": {"additionalFiles": [{"destination": "/etc/motd", "content": f"{name}\n"}]},
        "scripts": {
            "postProvision": [
                {"name": "outside", "runOn": ["all"], "content": script.format("provisioned")}
            ],
            "postConfigure": [
                {"name": "inside", "runOn": ["all"], "content": script.format("configured")}
            ],
        },
    }
    text = json.dumps(document | changes)
    (work / f"{name}.json").write_text(text)
    if name == "v1":
        (work / "configuration.json").write_text(text)
    return f"use {name}"


def drive(work: Path, *commands: str) -> list[str]:
    """Run the driver's commands (and `use NAME`) in one sandbox; their output lines."""
    driver = f"chroot $1/sandbox/root {sys.executable} -m tests.kit.update_driver $1"
    lines = [SANDBOX]
    for command in ("prepare", *commands):
        verb, _, rest = command.partition(" ")
        if verb == "use":
            lines.append(f"cp $1/{rest}.json $1/configuration.json")
        elif verb == "sh":
            lines.append(f"chroot $1/sandbox/root sh -ec '{rest}'")
        else:
            lines.append(f"{driver} {command} || echo failed $?")
    result = run(
        [*_UNSHARE, "\n".join(lines), "sh", work],
        timeout_s=240,
        env={"PYTHONPATH": os.fspath(ROOT)},
        merge_stderr=True,
    )
    return result.stdout.splitlines()


def ends(output: list[str]) -> list[str]:
    """The last line of each command."""
    return [line for line in output if " left [" in line]


def of_side(work: Path, name: str, path: str) -> bytes:
    return run(["debugfs", "-R", f"cat {path}", work / f"{name}.img"]).stdout_bytes


def listing(work: Path, name: str, path: str) -> str:
    return run(["debugfs", "-R", f"ls -l {path}", work / f"{name}.img"]).stdout


def rows(work: Path) -> list[HostStatus]:
    copy = work / "copy.sqlite"
    copy.write_bytes(of_side(work, "trident", "/datastore.sqlite"))
    with datastore.opened(copy) as store:
        return [host_status.parse(row.contents) for row in store.rows()]


def firmware(work: Path) -> tuple[str | None, list[str]]:
    state = json.loads((work / "firmware").read_text())
    return state["next"], state["order"]
