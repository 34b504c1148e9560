from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.engine import newroot
from agent.engine.context import Context, Facts

STORAGE: dict[str, Any] = {
    "disks": [
        {
            "id": "os",
            "device": "/dev/sda",
            "partitionTableType": "gpt",
            "partitions": [
                {"id": name, "type": "linux-generic", "size": "1G"}
                for name in ("esp", "root-a", "root-b", "data")
            ],
        }
    ],
    "abUpdate": {"volumePairs": [{"id": "root", "volumeAId": "root-a", "volumeBId": "root-b"}]},
    "raid": {"software": [{"id": "r", "name": "md-r", "level": "raid1", "devices": ["x", "y"]}]},
    "encryption": {"pcrs": [], "volumes": [{"id": "e", "deviceName": "luks", "deviceId": "z"}]},
    "verity": [{"id": "v", "name": "root", "dataDeviceId": "d", "hashDeviceId": "h"}],
    "filesystems": [
        {"deviceId": "data", "source": "new", "mountPoint": "/var/lib/trident"},
        {"deviceId": "esp", "mountPoint": {"path": "/boot/efi", "options": "umask=0077"}},
        {"deviceId": "root", "mountPoint": "/"},
        {"source": "new", "type": "tmpfs", "mountPoint": "/scratch"},
    ],
}
PATHS = {
    name: Path(f"/dev/disk/by-partuuid/{name}") for name in ("esp", "root-a", "root-b", "data")
}


def context(
    servicing: ServicingType = ServicingType.CLEAN_INSTALL, active: AbVolume | None = None
) -> Context:
    configuration = HostConfiguration.model_validate_json(json.dumps({"storage": STORAGE}))
    return Context(
        configuration,
        servicing,
        old_status=HostStatus(ab_active_volume=active),
        facts=Facts(dict(PATHS)),
    )


@pytest.mark.parametrize(
    ("servicing", "active", "expected"),
    [
        (ServicingType.CLEAN_INSTALL, None, "root-a"),
        (ServicingType.CLEAN_INSTALL, AbVolume.A, "root-a"),
        (ServicingType.AB_UPDATE, None, "root-a"),
        (ServicingType.AB_UPDATE, AbVolume.A, "root-b"),
        (ServicingType.AB_UPDATE, AbVolume.B, "root-a"),
        (ServicingType.MANUAL_ROLLBACK_AB, AbVolume.B, "root-a"),
        (ServicingType.RUNTIME_UPDATE, AbVolume.B, "root-b"),
    ],
)
def test_a_pair_stands_for_the_side_that_is_written(
    servicing: ServicingType, active: AbVolume | None, expected: str
) -> None:
    given = context(servicing, active)
    assert given.block_device_id("root") == expected
    assert given.device_path("root") == PATHS[expected]


def test_every_kind_of_device_has_its_path() -> None:
    given = context()
    assert given.device_path("data") == PATHS["data"]
    assert given.device_path("r") == Path("/dev/md/md-r")
    assert given.device_path("e") == Path("/dev/mapper/luks")
    assert given.device_path("v") == Path("/dev/mapper/root_new")


def test_a_partition_that_does_not_exist_yet_is_an_internal_error() -> None:
    given = context()
    given.facts.partition_paths.clear()
    with pytest.raises(TridentError) as caught:
        given.device_path("data")
    assert caught.value.identifier == "internal/get-block-device-path"


def test_the_newroot_is_mounted_parents_first_with_scratch_memory() -> None:
    table = newroot.table(context())
    assert [(str(mount.path), mount.source, mount.filesystem) for mount in table] == [
        ("/", PATHS["root-a"], None),
        ("/boot/efi", PATHS["esp"], None),
        ("/run", None, "tmpfs"),
        ("/scratch", None, "tmpfs"),
        ("/tmp", None, "tmpfs"),
        ("/var/lib/trident", PATHS["data"], None),
    ]
    assert table[1].options == ("umask=0077",)


def test_a_directory_with_content_is_not_taken_as_newroot(tmp_path: Path) -> None:
    used, free = tmp_path / "used", tmp_path / "free"
    (used / "x").mkdir(parents=True)
    assert newroot.choose(used, free) == free
    (free / "y").mkdir()
    with pytest.raises(TridentError, match="empty directory"):
        newroot.choose(used, free)
