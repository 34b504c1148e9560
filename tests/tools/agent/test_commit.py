"""commit on this very machine: the "installed root" is a device node with the number of /."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from agent import datastore
from agent.api.errors import TridentError
from agent.api.events import Event
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.linux.run import spawn
from agent.servicing import commit
from agent.servicing.commit import CommitRequest
from tests.kit.receiver import receiver

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.tools]


def node(path: Path, number: int) -> Path:
    """A block device node; the commands below only look at its number."""
    os.mknod(path, stat.S_IFBLK | 0o600, number)
    return path


def configuration(checks: list[dict[str, Any]], phonehome: str | None = None) -> HostConfiguration:
    document = {
        "storage": {
            "disks": [
                {
                    "id": "os",
                    "device": "/dev/vda",
                    "partitionTableType": "gpt",
                    "partitions": [
                        {"id": "root-a", "type": "root", "size": "1G"},
                        {"id": "root-b", "type": "root", "size": "1G"},
                    ],
                }
            ],
            "abUpdate": {
                "volumePairs": [{"id": "root", "volumeAId": "root-a", "volumeBId": "root-b"}]
            },
            "filesystems": [{"deviceId": "root", "mountPoint": "/"}],
        },
        "health": {"checks": checks},
        "trident": {"phonehome": phonehome} if phonehome else {},
    }
    return HostConfiguration.model_validate_json(json.dumps(document))


def finalized(spec: HostConfiguration, root: Path) -> HostStatus:
    return HostStatus(
        spec=spec,
        servicing_state=ServicingState.CLEAN_INSTALL_FINALIZED,
        partition_paths={"root-a": PurePosixPath(root), "root-b": PurePosixPath("/dev/null")},
        trident_version="0.1.0",
    )


def store(path: Path, status: HostStatus) -> CommitRequest:
    datastore.persist(status, path)
    return CommitRequest(path, log_directory=None)


def stored(request: CommitRequest) -> HostStatus:
    with datastore.opened(request.datastore) as opened:
        latest = opened.latest()
    assert latest is not None
    return latest


def test_the_right_and_healthy_root_is_provisioned_and_reported(tmp_path: Path) -> None:
    root = node(tmp_path / "root", os.stat("/").st_dev)
    script = {"name": "fine", "runOn": ["clean-install"], "content": "test -e /etc/passwd"}
    with receiver() as server:
        spec = configuration([script], server.url("/m/phonehome"))
        request = store(tmp_path / "d.sqlite", finalized(spec, root))
        outcome = commit.run(request)
        assert [item["state"] for item in server.bodies("/m/phonehome")] == [
            "started",
            "succeeded",
        ]
        assert server.bodies("/m/events")[-1]["servicingState"] == "provisioned"
    assert outcome.status == stored(request)
    assert outcome.status.servicing_state is ServicingState.PROVISIONED
    assert outcome.status.ab_active_volume is AbVolume.A
    assert not outcome.reboot


def test_commit_again_changes_nothing_and_succeeds(tmp_path: Path) -> None:
    root = node(tmp_path / "root", os.stat("/").st_dev)
    request = store(tmp_path / "d.sqlite", finalized(configuration([]), root))
    first = commit.run(request)
    again = commit.run(request)
    assert again.status == first.status
    with datastore.opened(request.datastore) as opened:
        assert len(opened.rows()) == 2


def test_another_root_forgets_the_installation(tmp_path: Path) -> None:
    root = node(tmp_path / "root", os.makedev(259, 77))
    request = store(tmp_path / "d.sqlite", finalized(configuration([]), root))
    with pytest.raises(TridentError) as caught:
        commit.run(request)
    assert caught.value.identifier == "servicing/clean-install-reboot-check"
    assert caught.value.fields["expected-device-path"] == str(root)
    status = stored(request)
    assert status.servicing_state is ServicingState.NOT_PROVISIONED
    assert status.spec == HostConfiguration()
    assert status.last_error is not None


def test_a_missing_root_device_is_the_wrong_root(tmp_path: Path) -> None:
    request = store(tmp_path / "d.sqlite", finalized(configuration([]), tmp_path / "gone"))
    with pytest.raises(TridentError) as caught:
        commit.run(request)
    assert caught.value.code == "clean-install-reboot-check"


def test_a_failed_health_check_keeps_the_configuration_and_says_which(tmp_path: Path) -> None:
    root = node(tmp_path / "root", os.stat("/").st_dev)
    checks = [
        {"name": "fine", "runOn": ["all"], "content": "true"},
        {"name": "sick", "runOn": ["all"], "content": "echo the disk smells >&2; exit 4"},
        {"name": "other", "runOn": ["ab-update"], "content": "exit 1"},
    ]
    seen: list[Event] = []
    request = store(tmp_path / "d.sqlite", finalized(configuration(checks), root))
    watched = CommitRequest(request.datastore, (seen.append,), None)
    with pytest.raises(TridentError) as caught:
        commit.run(watched)
    assert caught.value.identifier == "health-checks/health-checks-failed"
    assert "1 of 2" in caught.value.message
    assert "'sick' exited with 4: the disk smells" in caught.value.message
    status = stored(request)
    assert status.servicing_state is ServicingState.NOT_PROVISIONED
    assert status.spec == configuration(checks)
    assert seen[-1].type == "operation-failed"


@pytest.mark.parametrize(
    "state", [ServicingState.NOT_PROVISIONED, ServicingState.CLEAN_INSTALL_STAGED]
)
def test_a_state_that_waits_for_nothing_is_left_alone(
    tmp_path: Path, state: ServicingState
) -> None:
    status = finalized(configuration([]), tmp_path).model_copy(update={"servicing_state": state})
    request = store(tmp_path / "d.sqlite", status)
    assert commit.run(request).status == status
    assert stored(request) == status


def test_an_interrupted_commit_stops_at_once_and_is_done_again(tmp_path: Path) -> None:
    """F10: a reboot in the middle of a health check says nothing about the installation."""
    root = node(tmp_path / "root", os.stat("/").st_dev)
    slow = {"name": "slow", "runOn": ["all"], "content": f"echo $$ > {tmp_path}/runs; sleep 250"}
    request = store(tmp_path / "store.sqlite", finalized(configuration([slow]), root))
    (tmp_path / "etc/trident").mkdir(parents=True)
    (tmp_path / "etc/trident/trident.conf").write_text(f"DatastorePath={request.datastore}\n")
    script = 'mount --bind "$1" /etc; mount -t tmpfs tmpfs /var/log; shift; exec "$@"'
    enter = ["unshare", "--mount", "sh", "-ec", script, "sh", os.fspath(tmp_path / "etc")]
    argv = [*enter, sys.executable, "-m", "agent.cli", "commit"]
    log = tmp_path / "log"
    runs = tmp_path / "runs"
    with spawn(argv, log=log, env={"PYTHONPATH": os.fspath(ROOT)}) as process:
        while not runs.exists() or not runs.read_text():
            assert process.wait(0.02) is None, log.read_text()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 2
    assert not Path(f"/proc/{runs.read_text().strip()}").exists()
    assert "stopped by SIGTERM" in log.read_text()
    status = stored(request)
    assert status.servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED
    assert isinstance(status.last_error, dict)
    assert status.last_error["error"] == "interrupted"
