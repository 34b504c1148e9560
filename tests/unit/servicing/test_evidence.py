"""F57: what disks and firmware prove about a host whose datastore is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from agent.api.hostconfig import HostConfiguration
from agent.api.parttypes import Architecture, PartitionKind, guid
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.linux.block import BlockDevice
from agent.linux.bootvars import Entry, State
from agent.servicing import evidence
from agent.servicing.evidence import Doubts, Machine, Remembered

SIZE = 64 << 20
NAMES = ("esp", "root-a", "root-b", "trident")
UUIDS = {name: str(UUID(int=number)) for number, name in enumerate(NAMES, 1)}
DISK = UUID(int=99)


def configuration(**changes: Any) -> HostConfiguration:
    types = {"esp": "esp", "root-a": "root", "root-b": "root", "trident": "linux-generic"}
    document: dict[str, Any] = {
        "image": {"url": "http://host/v1.cosi", "sha384": "a" * 96},
        "storage": {
            "disks": [
                {
                    "id": "os",
                    "device": "/dev/sda",
                    "partitionTableType": "gpt",
                    "partitions": [
                        {"id": name, "type": types[name], "size": "64M"} for name in NAMES
                    ],
                }
            ],
            "abUpdate": {
                "volumePairs": [{"id": "root", "volumeAId": "root-a", "volumeBId": "root-b"}]
            },
            "filesystems": [
                {"deviceId": "esp", "mountPoint": "/boot/efi"},
                {"deviceId": "root", "mountPoint": "/"},
            ],
        },
    }
    return HostConfiguration.model_validate_json(json.dumps(document | changes))


def status(**changes: Any) -> HostStatus:
    paths = {name: PurePosixPath(f"/dev/disk/by-partuuid/{UUIDS[name]}") for name in NAMES}
    whole: dict[str, Any] = {
        "spec": configuration(),
        "servicing_state": ServicingState.PROVISIONED,
        "partition_paths": paths,
        "ab_active_volume": AbVolume.A,
        "disk_uuids": {"os": DISK},
        "trident_version": "0.1.0",
    }
    return HostStatus(**whole | changes)


def device(name: str, number: str, **changes: Any) -> BlockDevice:
    whole: dict[str, Any] = {
        "path": Path(f"/dev/{name}"),
        "kernel_name": name,
        "type": "part",
        "size_bytes": SIZE,
        "sector_bytes": 512,
        "read_only": False,
        "removable": False,
        "number": number,
    }
    return BlockDevice(**whole | changes)


def disk(**changes: dict[str, Any]) -> BlockDevice:
    """/dev/sda as it was installed; `changes` by partition, `-` for `_`."""
    kinds = {"esp": PartitionKind.ESP, "trident": PartitionKind.LINUX_GENERIC}
    children = [
        device(
            f"sda{number}",
            f"8:{number}",
            **{
                "partition_uuid": UUIDS[name],
                "partition_label": name,
                "partition_type": str(
                    guid(kinds.get(name, PartitionKind.ROOT), Architecture.X86_64)
                ),
            }
            | changes.get(name.replace("-", "_"), {}),
        )
        for number, name in enumerate(NAMES, 1)
    ]
    return device("sda", "8:0", type="disk", table_uuid=str(DISK), children=tuple(children))


def firmware(
    order: tuple[str, ...] = ("0001", "0002"), current: str | None = "0001", **changes: Any
) -> State:
    labels = {"0001": "AZLA", "0002": "AZLB", "0003": "UEFI PXE"}
    entries = tuple(Entry(number, label, active=True) for number, label in labels.items())
    return replace(State(current, None, order, entries), **changes)


ROOT_A, ROOT_B = "8:2", "8:3"
MACHINE = Machine(
    {"os": disk()}, ROOT_A, firmware(), on_trial=False, architecture=Architecture.X86_64
)
ON_B = replace(MACHINE, root_number=ROOT_B, firmware=firmware(("0002", "0001"), "0002"))


def verdicts(row: HostStatus, machine: Machine) -> list[HostStatus | Doubts]:
    return [evidence.judge(memory, machine) for memory in evidence.memories([row], None, "file")]


def certain(row: HostStatus, machine: Machine = MACHINE) -> HostStatus:
    (found,) = [one for one in verdicts(row, machine) if isinstance(one, HostStatus)]
    return found


def doubts(row: HostStatus, machine: Machine) -> str:
    found = verdicts(row, machine)
    assert all(isinstance(one, Doubts) for one in found), found
    return "; ".join(reason for one in found if isinstance(one, Doubts) for reason in one.reasons)


def test_f57_a_committed_host_is_what_its_row_says_without_image_and_way_back() -> None:
    found = certain(status())
    expected = status(
        spec=configuration(image=None), overwritten_volume=AbVolume.B, trident_version=None
    )
    assert found.model_copy(update={"trident_version": None}) == expected


def test_f57_a_host_that_was_updated_after_the_row_is_found_on_its_other_side() -> None:
    found = certain(status(), ON_B)
    assert (found.ab_active_volume, found.overwritten_volume) == (AbVolume.B, AbVolume.A)


@pytest.mark.parametrize(
    "state",
    [
        ServicingState.AB_UPDATE_STAGED,
        ServicingState.AB_UPDATE_FINALIZED,
        ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED,
        ServicingState.MANUAL_ROLLBACK_AB_FINALIZED,
    ],
)
def test_f57_of_an_update_under_way_the_side_that_runs_is_kept(state: ServicingState) -> None:
    new = configuration(os={"hostname": "new"})
    row = status(servicing_state=state, spec=new, spec_old=configuration())
    on_a, on_b = certain(row), certain(row, ON_B)
    assert (on_a.spec.os.hostname, on_a.ab_active_volume) == (None, AbVolume.A)
    assert (on_b.spec.os.hostname, on_b.ab_active_volume) == ("new", AbVolume.B)
    assert on_a.servicing_state is on_b.servicing_state is ServicingState.PROVISIONED


def test_f57_an_installation_that_waits_for_its_first_commit_goes_on_waiting() -> None:
    row = status(servicing_state=ServicingState.CLEAN_INSTALL_FINALIZED, ab_active_volume=None)
    assert certain(row).servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED


def test_f57_without_a_row_the_operators_configuration_is_compared_with_the_disks() -> None:
    memories = evidence.memories([], configuration(), "/etc/trident/config.yaml")
    found = [evidence.judge(memory, ON_B) for memory in memories]
    (certain_one,) = [one for one in found if isinstance(one, HostStatus)]
    assert certain_one.ab_active_volume is AbVolume.B
    assert certain_one.partition_paths["root-b"].name == UUIDS["root-b"]
    assert certain_one.disk_uuids == {"os": DISK}


def test_f57_with_nothing_remembered_nothing_is_made_up() -> None:
    assert evidence.memories([], None, "file") == ()
    for state in (ServicingState.NOT_PROVISIONED, ServicingState.CLEAN_INSTALL_STAGED):
        assert evidence.memories([status(servicing_state=state)], None, "file") == ()
    assert evidence.memories([status(is_management_os=True)], None, "file") == ()


def test_f57_the_second_installation_of_a_machine_has_its_own_index() -> None:
    entries = tuple(
        Entry(number, label, active=True)
        for number, label in (("0001", "AZLA"), ("0004", "AZL2A"), ("0005", "AZL2B"))
    )
    second = State("0004", None, ("0004", "0001", "0005"), entries)
    assert certain(status(), replace(MACHINE, firmware=second)).install_index == 1


def test_f57_a_machine_that_came_by_the_network_is_known_by_its_entries() -> None:
    by_network = firmware(("0003", "0001", "0002"), current="0003")
    assert certain(status(), replace(MACHINE, firmware=by_network)).install_index == 0


def test_f57_a_root_that_is_stacked_on_the_partition_is_recognised() -> None:
    stacked = device("dm-0", "253:0", type="crypt")
    machine = replace(
        MACHINE, disks={"os": disk(root_a={"children": (stacked,)})}, root_number="253:0"
    )
    assert certain(status(), machine).ab_active_volume is AbVolume.A


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (replace(MACHINE, on_trial=True), "not committed yet"),
        (replace(MACHINE, root_number="8:17"), "the running root is not that of volume-a"),
        (replace(MACHINE, disks={}), "the disk /dev/sda is not there"),
        (replace(MACHINE, firmware=None), "boot entries cannot be read"),
        (replace(MACHINE, firmware=firmware(current="0002")), "the firmware booted AZLB"),
        (
            replace(MACHINE, firmware=firmware(("0002", "0001"))),
            "does not boot this side by default",
        ),
        (replace(MACHINE, firmware=firmware(())), "does not boot this side by default"),
        (replace(MACHINE, firmware=firmware(next="0002")), "BootNext"),
        (replace(MACHINE, firmware=firmware(entries=())), "no single boot entry"),
        (
            replace(MACHINE, disks={"os": disk(trident={"partition_uuid": str(UUID(int=7))})}),
            "'trident' on /dev/sda is not the one that was recorded",
        ),
        (
            replace(MACHINE, disks={"os": disk(trident={"partition_label": "else"})}),
            "/dev/sda has 0 partitions that can be 'trident'",
        ),
        (replace(MACHINE, disks={"os": disk(root_b={"size_bytes": SIZE * 2})}), "be 'root-b'"),
        (
            replace(MACHINE, disks={"os": disk(esp={"partition_type": str(UUID(int=1))})}),
            "be 'esp'",
        ),
    ],
)
def test_f57_whatever_does_not_fit_is_a_doubt(machine: Machine, why: str) -> None:
    assert why in doubts(status(), machine)


def test_f57_two_partitions_of_one_name_are_a_doubt() -> None:
    whole = disk()
    twin = replace(whole.children[3], partition_uuid=str(UUID(int=55)))
    twice = replace(whole, children=(*whole.children, twin))
    assert "2 partitions that can be 'trident'" in doubts(
        status(), replace(MACHINE, disks={"os": twice})
    )


@pytest.mark.parametrize("match", [{"matchLabel": "data"}, {"matchUuid": str(UUID(int=77))}])
def test_f57_an_adopted_partition_is_found_by_what_it_was_matched_by(match: dict[str, str]) -> None:
    document = json.loads(configuration().model_dump_json(by_alias=True, exclude_defaults=True))
    document["storage"]["disks"][0]["adoptedPartitions"] = [{"id": "old", **match}]
    spec = HostConfiguration.model_validate_json(json.dumps(document))
    whole = disk()
    nameless = device("sda5", "8:5", partition_uuid=str(UUID(int=66)))
    adopted = device("sda6", "8:6", partition_uuid=str(UUID(int=77)), partition_label="data")
    more = replace(whole, children=(*whole.children, nameless, adopted))
    found = certain(status(spec=spec), replace(MACHINE, disks={"os": more}))
    assert found.partition_paths["old"].name == str(UUID(int=77))
    assert "be 'old'" in doubts(status(spec=spec), MACHINE)


def test_f57_a_host_with_one_root_has_no_sides() -> None:
    document = json.loads(configuration().model_dump_json(by_alias=True, exclude_defaults=True))
    del document["storage"]["abUpdate"]
    document["storage"]["filesystems"][1]["deviceId"] = "root-a"
    spec = HostConfiguration.model_validate_json(json.dumps(document))
    found = certain(status(spec=spec, ab_active_volume=None))
    assert (found.ab_active_volume, found.overwritten_volume) == (None, None)
    assert isinstance(evidence.judge(Remembered("", spec, AbVolume.A), ON_B), Doubts)
