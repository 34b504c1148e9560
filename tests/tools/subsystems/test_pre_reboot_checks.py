"""preRebootChecks on real file systems in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.engine import newroot
from agent.engine.context import Context, Facts
from agent.linux import mounts
from agent.linux.run import run
from agent.subsystems import pre_reboot
from tests.unit.subsystems.storage.samples import configuration

pytestmark = pytest.mark.tools

TEXT = """
storage:
  disks:
  - id: os
    device: /dev/sda
    partitionTableType: gpt
    partitions:
    - {id: root-a, type: root, size: 16M}
    - {id: root-b, type: root, size: 16M}
    - {id: srv, size: 16M}
  abUpdate: {volumePairs: [{id: root, volumeAId: root-a, volumeBId: root-b}]}
  filesystems:
  - {deviceId: root, mountPoint: /}
  - {deviceId: srv, source: new, mountPoint: /srv}
"""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A target on side B, with a volume that both sides share."""
    paths = {}
    for name in ("root-a", "root-b", "srv"):
        paths[name] = tmp_path / f"{name}.img"
        with paths[name].open("wb") as stream:
            stream.truncate(16 << 20)
        tree = tmp_path / f"{name}.tree"
        tree.mkdir()
        (tree / "file").write_text("content\n")
        run(["mkfs.ext4", "-q", "-F", "-d", tree, paths[name]])
    (tmp_path / "newroot").mkdir()
    return Context(
        configuration(TEXT),
        ServicingType.AB_UPDATE,
        old_status=HostStatus(ab_active_volume=AbVolume.A),
        newroot=tmp_path / "newroot",
        facts=Facts(paths),
    )


def damage(image: Path) -> None:
    """Give a file a link count that no directory agrees with."""
    run(["debugfs", "-w", "-R", "set_inode_field /file links_count 9", image])


def test_a_target_in_order_passes_and_stays_mounted_for_writing(context: Context) -> None:
    with newroot.mounted(context) as root:
        (root / "more").write_text("written just now\n")
        pre_reboot.check_file_systems(context)
        (root / "after").write_text("still writable\n")
        mount = mounts.at(root)
        assert mount is not None
        assert not mount.read_only


def test_a_damaged_target_is_not_booted(context: Context) -> None:
    damage(context.facts.partition_paths["root-b"])
    with newroot.mounted(context) as root:
        with pytest.raises(TridentError, match="is damaged: Inode 12 ref count is 9") as caught:
            pre_reboot.check_file_systems(context)
        (root / "after").write_text("still writable\n")
    assert caught.value.identifier == "servicing/pre-reboot-check"
    assert "was not told to boot the target" in caught.value.message


def test_what_the_running_system_uses_too_is_left_alone(context: Context) -> None:
    damage(context.facts.partition_paths["srv"])
    with newroot.mounted(context):
        pre_reboot.check_file_systems(context)


def test_a_target_that_is_being_written_is_not_taken_for_good(context: Context) -> None:
    with (
        newroot.mounted(context) as root,
        (root / "open").open("w"),
        pytest.raises(TridentError, match="could not be checked"),
    ):
        pre_reboot.check_file_systems(context)
