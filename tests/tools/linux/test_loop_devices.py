"""The wrappers with the real tools, on loop devices over sparse files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture
from agent.linux import block, e2fs, gpt, loop, mkfs, mounts, partx, probe, repart
from agent.linux.repart import Definition, Empty
from agent.linux.run import run
from agent.subsystems.storage import layout, partitions, safety
from agent.subsystems.storage.layout import PlannedDisk
from tests.unit.subsystems.storage.samples import configuration

pytestmark = pytest.mark.tools

MIB = 1 << 20
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def sparse(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """An empty block device of 4 GiB that takes next to no space."""
    with loop.attached(sparse(tmp_path / "disk.img", 4096 * MIB)) as attached:
        yield attached
        run(["partx", "--delete", attached], ok=(0, 1))


def planned(device: Path) -> PlannedDisk:
    found = {"os": block.inspect(device)}
    return layout.resolve(configuration().storage, found, Architecture.X86_64, uuid4).disks[0]


def test_the_table_is_what_was_planned_to_the_byte(device: Path) -> None:
    disk = planned(device)
    partitions.rehearse(disk)
    assert probe.signature(device).table_type is None, "a rehearsal writes nothing"
    table = partitions.write_table(disk, safety.identify(device))
    made = {entry.label: entry.size_bytes for entry in table.partitions}
    wanted = {partition.label: partition.size_bytes for partition in disk.partitions}
    assert made == wanted


def test_a_disk_with_sectors_of_4096_bytes_is_laid_out_as_planned(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", 4096 * MIB)
    argv = ["losetup", "--find", "--show", "--sector-size=4096", os.fspath(image)]
    device = Path(run(argv).stdout.strip())
    try:
        disk = planned(device)
        assert disk.device.sector_bytes == 4096
        table = partitions.write_table(disk, safety.identify(device))
        assert table.sector_bytes == 4096
        sizes = [entry.size_bytes for entry in table.partitions]
        assert sizes == [partition.size_bytes for partition in disk.partitions]
    finally:
        run(["partx", "--delete", device], ok=(0, 1))
        run(["losetup", "--detach", device])


def test_what_an_old_installation_left_inside_a_new_partition_is_not_recognised(
    tmp_path: Path, device: Path
) -> None:
    old = planned(device)
    entry = partitions.write_table(old, safety.identify(device)).partitions[1]
    with loop.attached(
        tmp_path / "disk.img", offset_bytes=entry.start_bytes, size_bytes=entry.size_bytes
    ) as partition:
        mkfs.make("xfs", partition)
        assert probe.signature(partition).filesystem == "xfs"
    partitions.write_table(planned(device), safety.identify(device))
    with loop.attached(
        tmp_path / "disk.img", offset_bytes=entry.start_bytes, size_bytes=entry.size_bytes
    ) as partition:
        assert probe.signature(partition).filesystem is None


def test_a_second_install_replaces_the_first_table(device: Path) -> None:
    first = planned(device)
    before = partitions.write_table(first, safety.identify(device))
    second = planned(device)
    after = partitions.write_table(second, safety.identify(device))
    assert before.id != after.id
    assert gpt.read(device) == after


def test_another_table_than_the_one_that_was_checked_stops_the_write(device: Path) -> None:
    checked = safety.identify(device)
    present = partitions.write_table(planned(device), checked)
    with pytest.raises(TridentError, match="no longer the disk that was checked") as caught:
        partitions.write_table(planned(device), checked)
    assert caught.value.code == "create-partitions"
    assert gpt.read(device) == present


def test_a_mounted_disk_is_in_use(device: Path, tmp_path: Path) -> None:
    mkfs.make("ext4", device)
    safety.require_unused(device)
    with (
        mounts.mounted(device, tmp_path / "mnt"),
        pytest.raises(TridentError, match=f"mounted on {tmp_path}/mnt"),
    ):
        safety.require_unused(device)


def test_a_disk_that_is_held_open_exclusively_is_in_use(device: Path) -> None:
    holder = os.open(device, os.O_RDWR | os.O_EXCL)
    try:
        assert block.in_exclusive_use(device)
        with pytest.raises(TridentError, match="the kernel keeps"):
            safety.require_unused(device)
    finally:
        os.close(holder)
    assert not block.in_exclusive_use(device)


def test_a_new_device_under_the_same_name_has_another_sequence_number(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        with loop.attached(sparse(tmp_path / "disk.img", MIB)) as attached:
            seen.add(block.sequence(attached))
    assert len(seen) == 2


def test_refuse_keeps_a_table_that_is_there(device: Path) -> None:
    one = [Definition(LINUX, "one", str(uuid4()), 8 * MIB)]
    two = [*one, Definition(LINUX, "two", str(uuid4()), 8 * MIB)]
    repart.apply(device, one, empty=Empty.FORCE)
    outcomes = repart.apply(device, two, empty=Empty.REFUSE)
    assert [outcome.activity for outcome in outcomes] == ["unchanged", "create"]


def test_the_kernel_learns_the_partitions(device: Path) -> None:
    repart.apply(device, [Definition(LINUX, "one", str(uuid4()), 8 * MIB)], empty=Empty.FORCE)
    partx.update(device)
    sizes = [entry / "size" for entry in block.sysfs(device).glob(f"{device.name}p*")]
    assert [int(size.read_text()) * 512 for size in sizes] == [8 * MIB]


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "vfat"])
def test_a_new_file_system_is_recognised(device: Path, filesystem: str) -> None:
    mkfs.make(filesystem, device)
    assert probe.signature(device).filesystem == filesystem


def test_a_file_system_is_made_over_an_old_one(device: Path) -> None:
    mkfs.make("xfs", device)
    mkfs.make("ext4", device)
    assert probe.signature(device).filesystem == "ext4"


def test_a_mounted_file_system_is_not_made_again(device: Path, tmp_path: Path) -> None:
    mkfs.make("ext4", device)
    with mounts.mounted(device, tmp_path / "mnt"), pytest.raises(TridentError) as caught:
        mkfs.make("ext4", device)
    assert "mounted" in caught.value.message


def test_signatures_that_exclude_each_other_do_not_stop_an_install(device: Path) -> None:
    mkfs.make("xfs", device)
    with device.open("rb") as disk:
        superblock = disk.read(512)
    mkfs.make("ext4", device)
    with device.open("r+b") as disk:
        disk.write(superblock)
    assert run(["blkid", "--probe", device], ok=(8,)).returncode == 8
    assert probe.signature(device) == probe.Signature()
    partitions.write_table(planned(device), safety.identify(device))
    assert probe.signature(device).table_type == "gpt"


def test_a_swap_area_is_recognised(device: Path) -> None:
    mkfs.make_swap(device)
    assert probe.signature(device).filesystem == "swap"


def test_an_ext_file_system_grows_to_its_device_and_keeps_its_content(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "hello").write_text("world")
    image = tmp_path / "fs.img"
    run(["mkfs.ext4", "-q", "-d", tree, image, "16M"])
    with image.open("r+b") as file:
        file.truncate(64 * MIB)
    with loop.attached(image) as device:
        assert e2fs.superblock(device).size_bytes == 16 * MIB
        assert e2fs.check(device) is False
        e2fs.grow(device)
        assert e2fs.superblock(device).size_bytes == 64 * MIB == block.size_bytes(device)
        with mounts.mounted(device, tmp_path / "mnt") as mounted:
            assert (mounted / "hello").read_text() == "world"


def test_a_damaged_file_system_is_repaired_or_refused(tmp_path: Path) -> None:
    image = sparse(tmp_path / "fs.img", 16 * MIB)
    with loop.attached(image) as device:
        mkfs.make("ext4", device)
        run(["debugfs", "-w", "-R", "clri <2>", device])
        assert e2fs.check(device) is True
        assert e2fs.check(device) is False
        device.write_bytes(bytes(16 * MIB))
        with pytest.raises(TridentError, match="e2fsck exited with 8"):
            e2fs.check(device)


def test_a_part_of_a_file_is_a_device_of_its_own(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", 8 * MIB)
    with loop.attached(image, offset_bytes=MIB, size_bytes=2 * MIB, read_only=True) as device:
        assert block.size_bytes(device) == 2 * MIB
        assert block.inspect(device).read_only
        assert safety.refusals(block.inspect(device)) == (f"{device} is read-only",)


def test_no_loop_device_is_left_behind_when_the_block_fails(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", MIB)
    with pytest.raises(RuntimeError), loop.attached(image):
        raise RuntimeError
    assert run(["losetup", "--associated", image]).stdout == ""


def test_mounts_are_found_by_their_directory_only(tmp_path: Path) -> None:
    target = tmp_path / "mnt"
    with mounts.mounted("tmpfs", target, filesystem="tmpfs", options=("ro", "size=64k")):
        found = mounts.at(target)
        assert found is not None
        assert (found.filesystem, found.read_only) == ("tmpfs", True)
        (target / "..").resolve(strict=True)
        assert mounts.at(tmp_path) is None
    assert mounts.at(target) is None


def test_a_busy_directory_is_not_unmounted(tmp_path: Path) -> None:
    target = tmp_path / "mnt"
    with mounts.mounted("tmpfs", target, filesystem="tmpfs"):
        inside = os.open(target, os.O_RDONLY)
        try:
            with pytest.raises(TridentError, match="busy"):
                mounts.unmount(target)
        finally:
            os.close(inside)


def test_a_device_that_is_not_there_names_the_disks_that_are() -> None:
    text = (
        "storage: {disks: [{id: os, device: /dev/disk/by-id/absent, partitionTableType: gpt, "
        "partitions: []}]}"
    )
    with pytest.raises(TridentError, match="/dev/disk/by-id/absent does not exist") as caught:
        partitions.discover(configuration(text).storage)
    assert caught.value.fields["inner"] == "invalid-disk-path"
    for disk in block.disks():
        assert str(disk.path) in str(caught.value.hint)


def test_what_is_no_block_device_below_dev_is_refused(tmp_path: Path) -> None:
    for path in (Path("/dev/null"), sparse(tmp_path / "disk.img", MIB)):
        with pytest.raises(TridentError, match="is not a block device below /dev") as caught:
            block.resolve(path)
        assert caught.value.fields["inner"] == "invalid-disk-block-device-path"
