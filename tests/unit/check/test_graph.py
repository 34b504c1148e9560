"""The storage graph: sizes of what stands on what."""

import pytest
from pydantic import JsonValue

from agent.api.load import load
from agent.api.yamltext import dump
from agent.check.graph import StorageGraph
from agent.check.validate import storage_graph

MIB = 1 << 20


def graph(level: str = "raid1", members: int = 4, size: str = "64M") -> StorageGraph:
    names = [f"m{i}" for i in range(members)]
    partitions: list[JsonValue] = [{"id": name, "size": size} for name in [*names, "a", "b"]]
    return storage_graph(
        load(
            dump(
                {
                    "storage": {
                        "disks": [
                            {
                                "id": "os",
                                "device": "/dev/sda",
                                "partitionTableType": "gpt",
                                "partitions": partitions,
                                "adoptedPartitions": [{"id": "old", "matchLabel": "old"}],
                            }
                        ],
                        "raid": {
                            "software": [
                                {"id": "md", "name": "md", "level": level, "devices": list(names)}
                            ]
                        },
                        "encryption": {
                            "volumes": [{"id": "luks", "deviceName": "luks", "deviceId": "md"}],
                            "pcrs": [],
                        },
                        "abUpdate": {
                            "volumePairs": [{"id": "ab", "volumeAId": "a", "volumeBId": "b"}]
                        },
                        "verity": [
                            {"id": "v", "name": "root", "dataDeviceId": "ab", "hashDeviceId": "md"}
                        ],
                    }
                }
            )
        )
    )


@pytest.mark.parametrize(
    ("level", "mebibytes"),
    [("raid0", 256), ("raid1", 64), ("raid5", 192), ("raid6", 128), ("raid10", 128)],
)
def test_an_arrays_size_follows_from_its_level(level: str, mebibytes: int) -> None:
    assert graph(level).size_bytes("md") == mebibytes * MIB


def test_luks_takes_sixteen_mebibytes() -> None:
    assert graph().size_bytes("luks") == 48 * MIB


def test_a_volume_too_small_for_its_header_has_no_room() -> None:
    assert graph(size="1M").size_bytes("luks") == 0


def test_a_verity_device_is_as_large_as_its_data_device() -> None:
    assert graph("raid0").size_bytes("v") == 64 * MIB


@pytest.mark.parametrize("device", ["old", "os", "nothing"])
def test_the_size_of_what_is_only_known_on_the_host_is_unknown(device: str) -> None:
    assert graph().size_bytes(device) is None


def test_a_growing_partitions_size_is_unknown_and_so_is_what_stands_on_it() -> None:
    growing = graph(size="grow")
    assert growing.size_bytes("a") is None
    assert growing.size_bytes("ab") is None
    assert growing.size_bytes("md") is None


def test_what_stands_on_a_pair_changes_sides_with_it() -> None:
    built = graph()
    assert built.has_ab("v")
    assert built.has_ab("ab")
    assert not built.has_ab("luks")
