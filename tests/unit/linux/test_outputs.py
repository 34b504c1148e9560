"""The parsers read what the real tools printed (captured on Debian 12, util-linux 2.38)."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux import block, e2fs, gpt, json_output, mounts, probe, repart

DATA = Path(__file__).parents[2] / "data" / "tools"


def captured(name: str) -> str:
    return (DATA / name).read_text()


def test_lsblk_gives_disks_with_what_is_stacked_on_them() -> None:
    disks = block.parse(captured("lsblk.json"))
    assert [str(disk.path) for disk in disks] == ["/dev/vda", "/dev/vdb", "/dev/vdc"]
    spare = disks[2]
    assert (spare.size_bytes, spare.sector_bytes, spare.serial) == (4 << 30, 512, "SPARE1")
    assert (spare.table_type, spare.table_uuid) == ("gpt", "f3692769-67af-4b45-af24-bea33f8be9dc")
    assert not spare.read_only
    assert [node.kernel_name for node in spare.walk()] == [
        "vdc",
        "vdc1",
        "vdc2",
        "vdc3",
        "vdc4",
        "dm-0",
    ]
    esp, root, swap, held = spare.children
    assert (esp.mount_points, esp.filesystem) == (("/tmp/m/efi",), "vfat")
    assert (root.partition_label, root.filesystem_label) == ("root a", "rootfs")
    assert swap.mount_points == ("[SWAP]",)
    assert held.mount_points == ()
    assert held.children[0].type == "dm"


def test_lsblk_of_older_versions_quotes_flags_and_numbers() -> None:
    text = (
        captured("lsblk.json")
        .replace('"ro": false', '"ro": "1"')
        .replace('"size": 4294967296', '"size": "4294967296"')
    )
    spare = block.parse(text)[2]
    assert spare.read_only
    assert spare.size_bytes == 4 << 30


def test_sfdisk_gives_the_table_in_bytes_with_lower_case_uuids() -> None:
    table = gpt.parse(captured("sfdisk.json"))
    assert (table.type, table.id) == ("gpt", "f3692769-67af-4b45-af24-bea33f8be9dc")
    assert len(table.partitions) == 4
    root = table.by_uuid("01C92420-9523-0643-B1DD-8231739F1975")
    assert root is not None
    assert (root.start_bytes, root.size_bytes) == (133120 * 512, 512 << 20)
    assert (root.label, root.type) == ("root a", "0fc63daf-8483-4772-8e79-3d69d8477de4")
    assert table.by_uuid("00000000-0000-0000-0000-000000000000") is None


def test_findmnt_is_flattened_in_mount_order() -> None:
    found = mounts.parse(captured("findmnt.json"))
    assert found[0].target == Path("/")
    by_target = {mount.target: mount for mount in found}
    esp = by_target[Path("/tmp/m/efi")]
    assert (esp.source, esp.filesystem, esp.number) == ("/dev/vdc1", "vfat", "254:33")
    assert not esp.read_only
    assert by_target[Path("/repo")].read_only


def test_blkid_tells_file_system_and_partition_apart() -> None:
    partition = probe.parse(captured("blkid-partition.txt"))
    assert partition.filesystem == "ext4"
    assert partition.uuid == "0b8e8d5d-4777-4548-a60f-0facec565b95"
    assert partition.partition_uuid == "01c92420-9523-0643-b1dd-8231739f1975"
    assert partition.block_bytes == 4096
    assert partition.table_uuid is None
    disk = probe.parse(captured("blkid-disk.txt"))
    assert (disk.table_type, disk.filesystem) == ("gpt", None)
    assert probe.parse("") == probe.Signature()


def test_dumpe2fs_gives_the_size_of_the_file_system() -> None:
    superblock = e2fs.parse(captured("dumpe2fs.txt"))
    assert superblock.uuid == "0b8e8d5d-4777-4548-a60f-0facec565b95"
    assert superblock.size_bytes == 512 << 20


def test_repart_gives_offsets_and_sizes() -> None:
    esp, root, data = repart.parse(captured("systemd-repart.json"))
    assert (esp.definition, esp.offset_bytes, esp.size_bytes) == ("001.conf", 1 << 20, 64 << 20)
    assert (root.label, root.activity) == ("root-a", "create")
    assert data.offset_bytes + data.size_bytes == (1 << 20) + repart.usable_bytes(2 << 30, 512)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "object was expected"),
        ('{"blockdevices": {}}', "not a list"),
        ('{"blockdevices": [{"path": "/dev/x"}]}', "'kname' is missing"),
        ('{"blockdevices": [{"path": 7}]}', "string was expected"),
    ],
)
def test_output_that_no_manual_promises_is_an_error_that_names_the_tool(
    text: str, why: str
) -> None:
    with pytest.raises(TridentError, match=why) as caught:
        block.parse(text)
    assert caught.value.code == "command-failed"
    assert "lsblk" in caught.value.message


def test_numbers_must_be_numbers() -> None:
    fields = json_output.parse_object("tool", '{"a": "12", "b": "x", "c": true}')
    assert fields.required_integer("a") == 12
    for key in ("b", "c"):
        with pytest.raises(TridentError, match="an integer was expected"):
            fields.integer(key)
    with pytest.raises(TridentError, match="'d' is missing"):
        fields.required_integer("d")
