"""Labels by the real setfiles: every file, also what is hidden below mount points."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.status import ServicingType
from agent.engine import newroot
from agent.engine.context import Context, Facts
from agent.engine.execute import execute
from agent.engine.subsystem import Phase
from agent.linux import mounts
from agent.linux.run import find, run
from agent.reporting.recorder import Recorder
from agent.subsystems.selinux import Selinux
from tests.kit.opened_image import image_of
from tests.kit.tools import unavailable
from tests.unit.subsystems.boot.test_arguments import write
from tests.unit.subsystems.storage.samples import configuration, metadata

pytestmark = pytest.mark.tools

TEXT = """
storage:
  disks:
  - id: os
    device: /dev/sda
    partitionTableType: gpt
    partitions: [{id: root, type: root, size: 64M}, {id: trident, size: 16M}]
  filesystems:
  - {deviceId: root, mountPoint: /}
  - {deviceId: trident, source: new, mountPoint: /var/lib/trident}
os: {selinux: {mode: permissive}}
"""
CONTEXTS = """\
/.* system_u:object_r:default_t:s0
/ -d system_u:object_r:root_t:s0
/tmp -d system_u:object_r:tmp_t:s0
/etc/shadow -- system_u:object_r:shadow_t:s0
/var/lib(/.*)? system_u:object_r:var_lib_t:s0
"""


def program(root: Path, name: str) -> None:
    """Copy a program of this system and the libraries that it needs."""
    source = find(name)
    if source is None:
        unavailable(f"{name} is not installed")
        return
    needed = re.findall(r"(/\S+) \(0x", run(["ldd", source]).stdout)
    for file, place in ((str(source), f"usr/sbin/{name}"), *((file, file) for file in needed)):
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    tree = tmp_path / "tree"
    for name in ("tmp", "run", "dev", "proc", "sys", "var/lib/trident"):
        (tree / name).mkdir(parents=True)
    program(tree, "setfiles")
    write(tree, "etc/shadow", "")
    write(tree, "etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=test\n")
    write(tree, "etc/selinux/test/contexts/files/file_contexts", CONTEXTS)
    paths = {name: tmp_path / f"{name}.img" for name in ("root", "trident")}
    run(["mkfs.ext4", "-q", "-F", "-d", tree, paths["root"], "64M"])
    run(["mkfs.ext4", "-q", "-F", paths["trident"], "16M"])
    (tmp_path / "newroot").mkdir()
    with image_of(metadata()) as image:
        yield Context(
            configuration(TEXT),
            ServicingType.CLEAN_INSTALL,
            image=image,
            newroot=tmp_path / "newroot",
            facts=Facts(paths),
        )


def label(path: Path) -> str:
    return os.getxattr(path, "security.selinux").decode().rstrip("\0").split(":")[2]


def test_files_of_every_volume_and_hidden_directories_are_labelled(
    context: Context, tmp_path: Path
) -> None:
    selinux, recorder = Selinux(), Recorder("install", [])
    with newroot.mounted(context) as root, newroot.chrootable(root):
        write(root, "var/lib/trident/written-while-staging", "")
        execute(selinux.stage(context), context, recorder)
        write(root, "var/lib/trident/datastore.sqlite", "")
        late = [step for step in selinux.finalize(context) if step.phase is Phase.FINALIZE]
        execute(late, context, recorder)
        assert not list((root / "run/trident/relabel").iterdir()), "nothing is left mounted"
    with mounts.mounted(context.facts.partition_paths["root"], tmp_path / "look") as root:
        assert (root / "etc/selinux/config").read_text().startswith("SELINUX=permissive\n")
        assert label(root) == "root_t"
        assert label(root / "tmp") == "tmp_t", "hidden below a mount point in the newroot"
        assert label(root / "dev") == "default_t"
        assert label(root / "etc/shadow") == "shadow_t"
    with mounts.mounted(context.facts.partition_paths["trident"], tmp_path / "look") as root:
        for name in (".", "written-while-staging", "datastore.sqlite"):
            assert label(root / name) == "var_lib_t"
