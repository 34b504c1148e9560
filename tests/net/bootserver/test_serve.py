"""The running program: reports and timelines, restarts and kills, privileges, the client check."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from agent.api import events
from agent.api.events import OperationDone, OperationStarted, StepProgress
from agent.linux.run import Process, run
from tests.kit import ports
from tests.kit.bootserver import HOST_CONFIGURATION, MAC, OTHER_MAC, BootServer

STOP_LIMIT_S = 3.0


def url(server: BootServer, path: str = "", mac: str = MAC) -> str:
    return f"{server.url}/v1/hosts/{mac}{path}"


def post(server: BootServer, path: str, body: bytes | str, mac: str = MAC) -> int:
    return requests.post(url(server, path, mac), data=body, timeout=10).status_code


def event(sequence: int, kind: type[Any], **fields: Any) -> str:
    made = kind(
        run="run1", sequence=sequence, time="2026-01-01T00:00:00Z", operation="install", **fields
    )
    return events.dump_json(made)


def install(server: BootServer) -> None:
    """What an agent reports of an install."""
    assert requests.get(url(server, "/config"), timeout=10).status_code == 200
    assert post(server, "/events", event(1, OperationStarted, version="1")) == 201
    done = event(2, OperationDone, servicing_state="clean-install-finalized", reboot=True)
    assert post(server, "/events", done) == 201


def timeline(server: BootServer, mac: str = MAC) -> list[str]:
    return [f"{one['source']} {one['event']}" for one in server.machine(mac)["timeline"]]


def test_a_machine_is_followed_from_script_to_provisioned(own_server: BootServer) -> None:
    own_server.declare()
    with own_server.serving():
        assert own_server.machine()["state"] == "declared"
        script = requests.get(f"{own_server.url}/ipxe/{MAC.upper()}", timeout=10)
        assert "initrd --name initrd.img" in script.text
        assert own_server.machine()["state"] == "booting"
        requests.get(f"{own_server.url}/artifacts/rootfs.squashfs", timeout=10)
        config = requests.get(url(own_server, "/config"), timeout=10)
        handed_out = yaml.safe_load(config.text)
        assert handed_out["trident"]["phonehome"] == url(own_server, "/phonehome")
        assert handed_out["trident"]["logstream"] == url(own_server, "/logstream")
        assert handed_out["image"]["url"] == f"{own_server.url}/files/os.cosi"
        assert own_server.machine()["state"] == "installing"
        requests.get(handed_out["image"]["url"], headers={"Range": "bytes=0-9"}, timeout=10)
        requests.get(handed_out["image"]["url"], headers={"Range": "bytes=777-"}, timeout=10)
        install(own_server)
        status = "servicingState: provisioned\n"
        report = {"state": "succeeded", "message": "done", "host_status": status}
        assert post(own_server, "/phonehome", json.dumps(report)) == 201
        machine = own_server.machine()
        assert machine["state"] == "provisioned"
        assert machine["hostStatus"] == status
        assert machine["address"] == "127.0.0.1"
        assert timeline(own_server) == [
            "operator declared",
            "http script",
            "http rootfs",
            "http config",
            "http image",
            "http image",
            "http config",
            "agent operation-started",
            "agent operation-done",
            "agent phonehome-succeeded",
        ]
        starts = [one["detail"]["start"] for one in machine["timeline"] if one["event"] == "image"]
        assert starts == [0, 777]


def test_an_installed_machine_is_reinstalled_only_once_it_is_granted(
    own_server: BootServer,
) -> None:
    own_server.declare()
    with own_server.serving():
        install(own_server)
        refused = requests.get(url(own_server, "/config"), timeout=10)
        assert refused.status_code == 409
        assert f"hosts reinstall {MAC}" in refused.json()["hint"]
        assert "exit 1" in requests.get(f"{own_server.url}/ipxe/{MAC}", timeout=10).text
        grub = requests.get(f"{own_server.url}/grub/host/{MAC}.cfg", timeout=10)
        assert "chainloader" in grub.text
        assert own_server.command("hosts", "reinstall", MAC).returncode == 0
        assert own_server.machine()["reinstall"]
        assert "kernel http" in requests.get(f"{own_server.url}/ipxe/{MAC}", timeout=10).text
        assert requests.head(url(own_server, "/config"), timeout=10).status_code == 200
        assert requests.get(url(own_server, "/config?look"), timeout=10).status_code == 200
        assert own_server.machine()["reinstall"], "looking does not use up the grant"
        assert requests.get(url(own_server, "/config"), timeout=10).status_code == 200
        assert not own_server.machine()["reinstall"]
        done = event(7, OperationDone, servicing_state="clean-install-finalized", reboot=True)
        assert post(own_server, "/events", done) == 201
        assert requests.get(url(own_server, "/config"), timeout=10).status_code == 409


def test_a_group_by_serial_number_asks_ipxe_for_it_first(own_server: BootServer) -> None:
    values = yaml.safe_load(own_server.settings_path.read_text())
    group = {"match": {"serial": "LAB-*"}, "kernelArguments": ["lab=1"]}
    own_server.settings_path.write_text(yaml.safe_dump(values | {"groups": [group]}))
    own_server.declare()
    with own_server.serving():
        first = requests.get(f"{own_server.url}/ipxe/{MAC}", timeout=10).text
        assert f"/ipxe/{MAC}?serial=${{serial:uristring}}" in first
        assert "kernel" not in first
        second = requests.get(f"{own_server.url}/ipxe/{MAC}?serial=LAB-7", timeout=10).text
        assert " lab=1 || goto retry" in second
        unnamed = requests.get(f"{own_server.url}/ipxe/{MAC}?serial=", timeout=10).text
        assert " lab=1 || goto retry" in unnamed, "what was said once is remembered"


def test_an_unknown_machine_is_recorded_and_gets_nothing(server: BootServer) -> None:
    script = requests.get(f"{server.url}/ipxe/{OTHER_MAC}", timeout=10)
    assert script.status_code == 200
    assert "kernel" not in script.text
    assert "exit 1" in script.text
    answer = requests.get(url(server, "/config", OTHER_MAC), timeout=10)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "hint"}
    machine = server.machine(OTHER_MAC)
    assert (machine["declared"], machine["state"]) == (False, "new")
    listed = requests.get(f"{server.url}/v1/hosts", timeout=10).json()
    assert {one["mac"] for one in listed} >= {MAC, OTHER_MAC}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/events", b"{"),
        ("/events", b""),
        ("/events", b"\xff\xfe"),
        ("/events", b"[]"),
        ("/events", b'{"type": "no-such-event"}'),
        ("/phonehome", b"null"),
        ("/phonehome", b'{"state": "sleeping"}'),
        ("/phonehome", b'{"state": "failed", "host_status": 7}'),
        ("/logstream", b'"text"'),
        ("/tracestream", b"[1, 2]"),
        ("/tracestream", b"{" * 100_000),
    ],
)
def test_a_malformed_report_is_refused_and_changes_nothing(
    server: BootServer, path: str, body: bytes
) -> None:
    before = server.machine()
    assert post(server, path, body) == 400
    assert server.machine() == before
    assert "Traceback" not in server.log.read_text()


def test_a_report_beyond_the_limit_is_refused(server: BootServer) -> None:
    assert post(server, "/phonehome", b" " * (5 << 20)) == 413


def test_a_wrong_mac_in_the_url_is_refused(server: BootServer) -> None:
    for mac in ("x", "52:54:00:77:00", "..", "%0a"):
        answer = requests.get(f"{server.url}/v1/hosts/{mac}/config", timeout=10)
        assert answer.status_code in (400, 404)
        assert set(answer.json()) == {"error", "hint"}


def test_reports_of_a_machine_nobody_knows_are_refused(server: BootServer) -> None:
    body = event(1, OperationStarted, version="1")
    assert post(server, "/events", body, "52:54:00:99:99:99") == 404
    answer = requests.get(url(server, "", "52:54:00:99:99:99"), timeout=10)
    assert answer.status_code == 404


def test_upstreams_paths_find_the_machine_by_its_address(server: BootServer) -> None:
    requests.get(f"{server.url}/ipxe/{MAC}", timeout=10)
    body = json.dumps({"state": "started", "message": "by address", "host_status": None})
    answer = requests.post(f"{server.url}/phonehome", data=body, timeout=10)
    assert (answer.status_code, answer.text) == (201, "OK\n")
    last = server.machine()["timeline"][-1]
    assert last["event"] == "phonehome-started"
    assert last["detail"] == {"message": "by address"}


def test_logs_and_traces_are_kept_as_lines(server: BootServer) -> None:
    record = {"level": "INFO", "message": "two\nlines", "target": "t"}
    for path in ("/logstream", "/tracestream"):
        assert post(server, path, json.dumps(record)) == 201
    for stream in ("log", "trace"):
        kept = server.settings.state / "reports" / f"{MAC.replace(':', '-')}.{stream}.jsonl"
        (line,) = kept.read_text().splitlines()
        assert json.loads(line).items() >= record.items()


def test_a_report_that_comes_twice_counts_once(server: BootServer) -> None:
    body = event(40, OperationStarted, version="1")
    before = timeline(server).count("agent operation-started")
    assert [post(server, "/events", body) for _ in range(3)] == [201] * 3
    assert timeline(server).count("agent operation-started") == before + 1


def test_reports_of_many_machines_at_once_are_all_kept(own_server: BootServer) -> None:
    macs = [f"52:54:00:00:01:{number:02x}" for number in range(4)]
    for mac in macs:
        own_server.declare(mac)

    def report(number: int) -> int:
        mac = macs[number % len(macs)]
        body = event(number + 1, StepProgress, step=f"step{number}", done_bytes=1, total_bytes=2)
        return post(own_server, "/events", body, mac)

    with own_server.serving(), ThreadPoolExecutor(16) as agents:
        assert set(agents.map(report, range(80))) == {201}
        for mac in macs:
            assert timeline(own_server, mac).count("agent step-progress") == 20


def test_acknowledged_reports_survive_a_kill_of_every_process(own_server: BootServer) -> None:
    own_server.declare()
    with own_server.serving() as process:
        install(own_server)
        process.signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    with own_server.serving():
        assert own_server.machine()["state"] == "rebooting"
        assert timeline(own_server)[-1] == "agent operation-done"
        assert requests.get(url(own_server, "/config"), timeout=10).status_code == 409


def test_no_process_outlives_a_killed_supervisor(own_server: BootServer) -> None:
    with own_server.serving() as process:
        children = _all_processes(own_server, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        end = time.monotonic() + 10
        while any(map(_runs, children)) and time.monotonic() < end:
            process.wait(0.05)
        assert not any(map(_runs, children))
    with own_server.serving():
        assert requests.get(f"{own_server.url}/healthz", timeout=10).ok


def test_the_server_stops_within_three_seconds_in_the_middle_of_downloads(
    own_server: BootServer,
) -> None:
    big = own_server.settings.files / "big.bin"
    with big.open("wb") as file:
        file.truncate(1 << 30)
    with own_server.serving() as process:
        answers = [
            requests.get(f"{own_server.url}/files/big.bin", stream=True, timeout=10)
            for _ in range(3)
        ]
        started = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        status = process.wait(10)
        assert time.monotonic() - started < STOP_LIMIT_S
        assert status == 0
        for answer in answers:
            answer.close()


def test_a_child_that_dies_ends_the_server_with_an_error(own_server: BootServer) -> None:
    with own_server.serving() as process:
        network = _children(process.pid)[0]
        os.kill(network, signal.SIGKILL)
        assert process.wait(10) == 1
    assert "the network services process ended" in own_server.log.read_text()


@pytest.mark.parametrize("service", ["http", "tftp"])
def test_a_port_in_use_is_a_clear_error(own_server: BootServer, service: str) -> None:
    with own_server.serving():
        values = yaml.safe_load(own_server.settings_path.read_text())
        other = "tftp" if service == "http" else "http"
        second = own_server.settings_path.with_name("second.yaml")
        second.write_text(
            yaml.safe_dump(values | {other: {"port": ports.claimed()}, "state": "s2"})
        )
        failed = BootServer(second).command("serve")
    assert failed.returncode == 1
    assert f"{service}-port-unavailable" in failed.stderr
    assert "hint: stop" in failed.stderr


def test_a_missing_artefact_folder_is_a_clear_error(own_server: BootServer) -> None:
    (own_server.settings.artifacts / "vmlinuz").unlink()
    failed = own_server.command("serve")
    assert failed.returncode == 1
    assert "vmlinuz is missing" in failed.stderr


def test_a_refused_configuration_stores_nothing(own_server: BootServer, tmp_path: Path) -> None:
    own_server.declare()
    bad = tmp_path / "bad.yaml"
    bad.write_text(HOST_CONFIGURATION.replace("type: esp", "typ: esp"))
    failed = own_server.command("hosts", "add", MAC, "--host-config", str(bad))
    assert failed.returncode == 1
    assert "storage.disks[0].partitions[0].typ: unknown field" in failed.stderr
    assert "nothing was stored" in failed.stderr
    shown = json.loads(own_server.command("hosts", "show", MAC).stdout)
    assert shown["lastError"] is None
    assert shown["name"] == "node1"


def test_hosts_are_listed_and_removed_by_command(own_server: BootServer) -> None:
    own_server.declare()
    assert f"{MAC}  declared" in own_server.command("hosts", "list").stdout
    assert own_server.command("hosts", "remove", MAC).returncode == 0
    again = own_server.command("hosts", "remove", MAC)
    assert again.returncode == 1
    assert "was not declared" in again.stderr
    assert own_server.command("hosts", "reinstall", MAC).returncode == 1
    assert own_server.command("hosts", "show", "52:54:00:99:99:99").returncode == 1
    assert own_server.command("hosts", "show", "nonsense").returncode == 2


def test_check_fetches_all_and_says_what_is_missing(own_server: BootServer) -> None:
    own_server.declare()
    with own_server.serving():
        fine = own_server.command("check")
        assert fine.returncode == 0, fine.stdout
        assert "x86_64/snponly.efi over TFTP" in fine.stdout
        assert f"{MAC} image {own_server.url}/files/os.cosi" in fine.stdout
        assert own_server.machine()["state"] == "declared", "checking leaves no trace"
        (own_server.settings.files / "os.cosi").unlink()
        loader = own_server.settings.artifacts / "x86_64" / "snponly.efi"
        loader.write_bytes(loader.read_bytes()[::-1])
        broken = own_server.command("check")
    assert broken.returncode == 1
    missing = [line for line in broken.stdout.splitlines() if line.startswith("MISSING")]
    assert len(missing) == 3
    assert "status 404" in missing[-1]
    dead = own_server.command("check")
    assert dead.returncode == 1
    assert "is the server running?" in dead.stdout


def test_root_becomes_the_user_and_keeps_three_capabilities(own_server: BootServer) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    _use_a_python_that_others_can_read(own_server)
    values = yaml.safe_load(own_server.settings_path.read_text())
    own_server.settings_path.write_text(yaml.safe_dump(values | {"user": "nobody"}))
    folder = own_server.settings_path.parent
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    own_server.declare()
    nobody = int(run(["id", "-u", "nobody"]).stdout)
    with own_server.serving() as process:
        for pid in [process.pid, *_all_processes(own_server, process)]:
            status = _status(pid)
            assert status["Uid"].split() == [str(nobody)] * 4
            assert int(status["CapEff"], 16) == 1 << 10 | 1 << 12 | 1 << 13
            assert status["NoNewPrivs"] == "1"
        install(own_server)
    assert own_server.settings.state.stat().st_uid == nobody


def _use_a_python_that_others_can_read(server: BootServer) -> None:
    """The virtual environment's own interpreter may live in root's home."""
    python = Path("/usr/bin/python3")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not python.is_file() or version not in python.resolve().name:
        pytest.skip(f"needs {version} as {python}")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    checkout = str(Path(__file__).parents[3])
    server.program = ("env", f"PYTHONPATH={':'.join([checkout, *packages])}", str(python))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _all_processes(server: BootServer, process: Process) -> list[int]:
    """The supervisor's descendants, once all workers are there."""
    expected = 2 + server.settings.http.workers
    end = time.monotonic() + 10
    while len(found := _descendants(process.pid)) != expected:
        assert time.monotonic() < end, found
        process.wait(0.05)
    return found


def _descendants(pid: int) -> list[int]:
    children = _children(pid)
    return children + [one for child in children for one in _descendants(child)]


def _runs(pid: int) -> bool:
    try:
        return _status(pid)["State"].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
