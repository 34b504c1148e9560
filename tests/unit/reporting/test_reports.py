from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import agent
from agent.api import events
from agent.api.errors import Kind, TridentError
from agent.api.events import Event, StepProgress
from agent.api.hostconfig import HostConfiguration, Trident
from agent.reporting import logs
from agent.reporting.journal import JournalMetrics
from agent.reporting.recorder import Recorder
from agent.reporting.reports import reporting
from tests.kit.receiver import Receiver, receiver


def configured(server: Receiver) -> HostConfiguration:
    return HostConfiguration(
        trident=Trident(phonehome=server.url("/m/phonehome"), logstream=server.url("/m/logstream"))
    )


def test_events_of_a_run_are_numbered_without_gaps_and_parse_again() -> None:
    seen: list[Event] = []
    recorder = Recorder("install", [seen.append])
    recorder.operation_started()
    recorder.step_started("storage/partitions", "creating partitions")
    recorder.step_progress("storage/partitions", 1, 2)
    recorder.step_done("storage/partitions", 0.5)
    recorder.operation_done("provisioned", reboot=False)
    assert [event.sequence for event in seen] == [1, 2, 3, 4, 5]
    assert {event.run for event in seen} == {recorder.run}
    assert [events.parse_json(events.dump_json(event)) for event in seen] == seen


def test_a_run_reaches_phonehome_events_tracestream_and_logstream(tmp_path: Path) -> None:
    with receiver() as server:
        with reporting("commit", configured(server), log_directory=tmp_path) as reports:
            reports.started()
            reports.recorder.step_started("commit/root", "checking")
            reports.recorder.step_done("commit/root", 1.5)
            reports.recorder.operation_done("provisioned", reboot=False)
            reports.succeeded("provisioning succeeded", "servicingState: provisioned\n")
        phonehome = server.bodies("/m/phonehome")
        assert [item["state"] for item in phonehome] == ["started", "succeeded"]
        assert phonehome[1]["host_status"] == "servicingState: provisioned\n"
        assert [item["type"] for item in server.bodies("/m/events")] == [
            "operation-started",
            "step-started",
            "step-done",
            "operation-done",
        ]
        metrics = {item["metric_name"]: item for item in server.bodies("/m/tracestream")}
        assert metrics["commit_root"]["value"] == 1.5
        assert set(metrics["trident_start"]["platform_info"]) == {
            "asset_id",
            "os_release",
            "total_cpu",
            "total_memory_gib",
            "kernel_version",
        }
        messages = [item["message"] for item in server.bodies("/m/logstream")]
        assert "commit/root: checking" in messages


def test_a_failure_is_reported_with_code_context_and_hint(tmp_path: Path) -> None:
    error = TridentError(Kind.SERVICING, "create-partitions", "no", hint="do this")
    error.context.append("creating partitions on /dev/sda")
    with receiver() as server:
        with reporting("install", configured(server)) as reports:
            reports.started()
            reports.failed(error, None)
        (failed,) = server.bodies("/m/events")[1:]
        assert failed["code"] == "create-partitions"
        assert failed["context"] == ["creating partitions on /dev/sda"]
        assert failed["hint"] == "do this"
        assert server.bodies("/m/phonehome")[1]["state"] == "failed"


def test_a_failing_logstream_is_dropped_and_the_rest_goes_on() -> None:
    def answer(path: str, number: int) -> int:
        return 500 if path == "/m/logstream" else 201

    with receiver(answer) as server:
        quick = HostConfiguration.model_validate_json(
            json.dumps(
                {
                    "trident": {
                        "phonehome": server.url("/m/phonehome"),
                        "logstream": server.url("/m/logstream"),
                    },
                    "internalParams": {"orchestratorConnectionTimeoutSeconds": 0},
                }
            )
        )
        with reporting("install", quick) as reports:
            reports.started()
            for number in range(5):
                reports.recorder.step_started(f"x/{number}", "x")
        assert len(server.bodies("/m/logstream")) == 1
        assert len(server.bodies("/m/events")) == 6


def test_the_full_log_starts_empty_and_holds_upstreams_keys(tmp_path: Path) -> None:
    (tmp_path / "trident-full.log").write_text("old\n")
    with reporting("install", None, log_directory=tmp_path) as reports:
        reports.recorder.step_progress("x", 1, 2)
    lines = (tmp_path / "trident-full.log").read_text().splitlines()
    entry = json.loads(lines[0])
    assert set(entry) == {"level", "message", "target", "module", "file", "line", "timestamp"}
    assert (entry["level"], entry["message"]) == ("trace", "x: 1 of 2 bytes")
    assert (tmp_path / "trident-full.log").stat().st_mode & 0o777 == 0o600


def test_a_log_directory_that_cannot_be_written_costs_only_the_files(tmp_path: Path) -> None:
    seen: list[Event] = []
    missing = tmp_path / "missing"
    with reporting("install", None, [seen.append], log_directory=missing) as reports:
        reports.recorder.step_progress("x", 1, 2)
    assert isinstance(seen[0], StepProgress)
    assert not missing.exists()


def test_metrics_reach_the_journal_under_an_identifier_of_their_own(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        sink = JournalMetrics(tmp_path / "journal")
        sink(b'{"metric_name": "trident_start"}')
        fields = dict(line.split("=", 1) for line in journal.recv(4096).decode().splitlines())
        sink.close()
    assert fields["SYSLOG_IDENTIFIER"] == "trident-tracing"
    assert json.loads(fields["MESSAGE"]) == {"metric_name": "trident_start"}
    assert fields["VERSION"] == agent.__version__


def test_a_host_without_a_journal_keeps_its_metrics_in_the_file_only(tmp_path: Path) -> None:
    sink = JournalMetrics(tmp_path / "nobody")
    sink(b"{}")
    sink.close()


def test_handlers_do_not_outlive_their_operation(tmp_path: Path) -> None:
    before = list(logging.getLogger("agent").handlers)
    with reporting("install", None, log_directory=tmp_path):
        assert len(logging.getLogger("agent").handlers) == len(before) + 1
    assert logging.getLogger("agent").handlers == before


def test_levels_between_the_names_take_the_name_below() -> None:
    assert [logs.level_name(level) for level in (0, 5, 12, 25, 99)] == [
        "trace",
        "trace",
        "debug",
        "info",
        "error",
    ]
