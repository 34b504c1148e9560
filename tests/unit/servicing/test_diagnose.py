"""The diagnostics bundle: all that is there, nothing that is secret, whatever is broken."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from agent import datastore
from agent.api import status as host_status
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingState
from agent.servicing import diagnose
from agent.servicing.diagnose import DiagnoseRequest

SECRET = "hunter2hunter2"
SPEC: dict[str, Any] = {
    "image": {"url": f"https://user:{SECRET}@host/os.cosi", "sha384": "ignored"},
    "os": {
        "users": [{"name": "a", "password": {"type": "dangerous-plain-text", "value": SECRET}}],
        "additionalFiles": [{"destination": "/etc/x", "content": SECRET}],
    },
}
STATUS = HostStatus(
    spec=HostConfiguration.model_validate_json(json.dumps(SPEC)),
    servicing_state=ServicingState.PROVISIONED,
    last_error={"message": f"fetching https://user:{SECRET}@host/os.cosi failed"},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with one of everything."""
    host = tmp_path / "host"
    datastore.persist(STATUS, host / "var/lib/trident/datastore.sqlite")
    files = {
        "etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n",
        "etc/trident/trident.conf": "DatastorePath=/srv/own.sqlite\n",
        "etc/trident/config.yaml": json.dumps(SPEC),
        "var/log/trident-full.log": f'{{"message": "said {SECRET}"}}\n',
        "var/log/trident-metrics.jsonl": "{}\n",
        "var/lib/trident/trident-AbUpdateStaged-20260101T000000Z.log": f"{SECRET}\n",
        "var/lib/trident/trident-metrics-AbUpdateStaged-20260101T000000Z.jsonl": "{}\n",
        "var/lib/systemd/pcrlock.json": "{}\n",
        "var/log/audit/audit.log": f"avc: denied password={SECRET}\n",
    }
    for name, text in files.items():
        path = host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    datastore.persist(STATUS.model_copy(update={"install_index": 4}), host / "srv/own.sqlite")
    return host


def collected(root: Path, **more: Any) -> dict[str, bytes]:
    """The members of a bundle of that host, by their names below the prefix."""
    output = root.parent / "out.tar.zst"
    diagnose.run(DiagnoseRequest(output, root=root, **more))
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    data = zstandard.ZstdDecompressor().stream_reader(output.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert all(member.isfile() for member in members)
        assert all(member.name.startswith("trident-diagnostics/") for member in members)
        return {member.name.partition("/")[2]: _content(archive, member) for member in members}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


def report(members: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(members["report.json"])
    return found


def failures(members: dict[str, bytes]) -> str:
    return "\n".join(
        f"{one['item']}: {one['error']}" for one in report(members)["collectionFailures"]
    )


def test_everything_is_collected_under_its_name(root: Path) -> None:
    members = collected(root, selinux=True)
    assert set(members) == {
        "logs/trident-full.log",
        "logs/trident-metrics.jsonl",
        "logs/historical/trident-AbUpdateStaged-20260101T000000Z.log",
        "logs/historical/trident-metrics-AbUpdateStaged-20260101T000000Z.jsonl",
        "datastore.sqlite",
        "datastore-configured.sqlite",
        "files/fstab",
        "files/trident.conf",
        "files/config.yaml",
        "tpm/pcrlock.json",
        "selinux/audit.log",
        "report.json",
    }
    found = report(members)
    assert set(found) == {
        "timestamp",
        "version",
        "hostDescription",
        "hostStatus",
        "collectedFiles",
        "collectionFailures",
    }
    assert found["hostStatus"]["installIndex"] == 4
    assert {one["path"] for one in found["collectedFiles"]} == set(members) - {"report.json"}
    for one in found["collectedFiles"]:
        assert one["sizeBytes"] == len(members[one["path"]])


def test_no_secret_is_in_any_member(root: Path) -> None:
    for name, content in collected(root, selinux=True).items():
        assert SECRET.encode() not in content, name


def test_the_copy_of_the_datastore_can_be_opened_and_tells_what_happened(
    root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(collected(root)["datastore.sqlite"])
    with datastore.opened(copy) as store:
        status = store.latest()
        (row,) = store.rows()
    assert status is not None
    assert row.time is not None
    assert status.servicing_state is ServicingState.PROVISIONED
    assert "<hidden>@host/os.cosi failed" in str(status.last_error)


def test_what_was_deleted_from_the_datastore_is_not_in_its_copy(root: Path) -> None:
    path = root / "var/lib/trident/datastore.sqlite"
    with datastore.opened(path) as store:
        store._connection.execute("PRAGMA secure_delete = OFF")
        store._connection.execute("UPDATE hoststatus SET contents = 'servicingState: provisioned'")
    assert SECRET.encode() in path.read_bytes()
    assert SECRET.encode() not in collected(root)["datastore.sqlite"]


def test_a_host_without_anything_gives_a_report_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    members = collected(tmp_path / "host")
    assert set(members) == {"report.json"}
    assert report(members)["hostStatus"] is None
    for item in ("host status", "logs/trident-full.log", "files/fstab"):
        assert item in failures(members)


def test_a_damaged_datastore_is_collected_as_far_as_it_can_be_read(root: Path) -> None:
    (root / "srv/own.sqlite").write_bytes(b"")
    members = collected(root)
    assert "is damaged" in failures(members)
    assert report(members)["hostStatus"]["servicingState"] == "provisioned"


def test_a_row_that_makes_no_sense_is_not_handed_out(root: Path, tmp_path: Path) -> None:
    path = root / "srv/own.sqlite"
    with datastore.opened(path) as store:
        store._connection.execute("UPDATE hoststatus SET contents = ?", (f"{{: {SECRET}",))
    assert SECRET.encode() not in collected(root)["datastore-configured.sqlite"]


def test_a_configuration_that_cannot_be_understood_is_left_out(root: Path) -> None:
    (root / "etc/trident/config.yaml").write_text(f"os: [password: {SECRET}")
    members = collected(root)
    assert "files/config.yaml" not in members
    assert "files/config.yaml: it is left out" in failures(members)
    assert all(SECRET.encode() not in content for content in members.values())


def test_of_a_very_long_log_the_end_is_kept(root: Path) -> None:
    line = b"x" * 1023 + b"\n"
    with (root / "var/log/trident-full.log").open("wb") as stream:
        for _ in range(100):
            stream.write(line)
        stream.write(b"the end\n")
    kept = collected(root, limit_bytes=64 << 10)["logs/trident-full.log"]
    assert len(kept) <= (64 << 10) + 100
    assert kept.startswith(b"[the first ")
    assert kept.endswith(b"the end\n")


def test_a_bundle_that_cannot_be_written_is_an_error_and_leaves_nothing(root: Path) -> None:
    with pytest.raises(TridentError) as caught:
        diagnose.run(DiagnoseRequest(root / "no/such/place/out.tar.zst", root=root))
    assert caught.value.identifier == "internal/generate-diagnostics-bundle"
    with pytest.raises(TridentError):
        diagnose.run(DiagnoseRequest(root / "etc", root=root))
    assert not (root / "etc.new").exists()


def test_the_status_in_the_report_can_be_read_again(root: Path) -> None:
    text = json.dumps(report(collected(root))["hostStatus"])
    assert host_status.parse(text).spec.os.users[0].name == "a"
