"""Reports: what a run leaves behind, and that every key of a scenario does something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from lab import cut_table, demo, report, scenario, steps, suite, verify
from lab.errors import LabError
from lab.firmware import BootEntry, Nvram
from lab.offline import Found
from lab.record import Event
from lab.report import CutRow, MachineReport, Output, Report, Result, StepTime, Verdict
from lab.session import event_line

EVENT = Event(id=3, time="2026-01-01T10:20:30.123Z", source="dhcp", event="ack", detail={})


def told(result: Result) -> Report:
    machine = MachineReport(
        name="demo",
        mac="52:54:00:77:00:d0",
        state="provisioned",
        host_status="servicingState: provisioned\n",
        timeline=(EVENT,),
        nvram=Nvram((5,), None, (BootEntry(5, "AZLA", "HD()"),)),
        started=("UEFI PXEv4", "AZLA"),
        serial_log="serial.log",
    )
    return Report(
        "demo",
        "2026-01-01T10:00:00+00:00",
        result=result,
        seconds=61.0,
        steps=[StepTime("powerOn", 0.5), StepTime("wait", 60.0)],
        outputs=[Output("demo", "trident get status", 0, "servicingState: provisioned\n")],
        verdicts=[Verdict("{}", None)],
        machines=[machine],
    )


def test_the_demonstrations_report_has_what_was_found_at_its_top_level(tmp_path: Path) -> None:
    report.write(tmp_path / "new" / "report.json", demo.to_json(told(Result.PASSED)))
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert read["result"] == "provisioned"
    assert read["hostStatus"] == "servicingState: provisioned\n"
    assert read["bootEntries"]["bootOrder"] == ["0005"]
    assert read["timeline"][0]["event"] == "ack"


def test_a_demonstration_that_failed_does_not_say_provisioned() -> None:
    assert demo.to_json(told(Result.FAILED))["result"] == "failed"
    assert demo.to_json(Report("demo", "now"))["hostStatus"] is None


def test_the_story_ends_with_timeline_boot_entries_and_status() -> None:
    text = demo.summary(demo.to_json(told(Result.PASSED)))
    assert "10:20:30.123  dhcp     ack" in text
    assert "Boot0005  AZLA" in text
    assert "servicingState: provisioned" in text


def test_the_demonstration_is_a_scenario() -> None:
    assert scenario.load(Path("lab/files/demo.yaml")).steps


def test_every_step_and_every_expectation_has_its_function() -> None:
    assert set(steps.VERBS) == {to_camel(name) for name in scenario.Step.model_fields}
    assert set(verify.KEYS) == {to_camel(name) for name in scenario.Expectation.model_fields}


def test_figures_are_the_waits_and_the_firmware_starts() -> None:
    assert suite.figures(told(Result.PASSED)) == "waits 60 s; firmware starts 2"


def test_an_event_is_told_in_one_line_without_what_repeats_itself() -> None:
    detail = {"run": "0f", "sequence": 3, "step": "storage/image/root-a", "text": "x" * 300}
    line = event_line(EVENT.model_copy(update={"detail": detail}))
    assert line.startswith("dhcp  ack step=storage/image/root-a text=xxx")
    assert "run=" not in line
    assert len(line) <= 140


def test_the_table_of_power_cuts_counts_what_held_and_distinct_states(tmp_path: Path) -> None:
    found = Found(
        "ab-update-staged", "volume-a", "AZLB", ("AZLA", "AZLB"), ("EFI/a 1 ff",), "clean"
    )
    other = Found("provisioned", "volume-a", None, ("AZLA",), (), "clean")
    one = told(Result.FAILED)
    one.cuts = [
        CutRow("running efibootmgr | x", found, ("AZLB",), None, 60.0),
        CutRow("boot/fallback", found, ("AZLB", "AZLA"), "waited in vain", 60.0),
        CutRow("commit/boot", other, ("AZLA",), None, 60.0),
    ]
    path = tmp_path / "told.json"
    report.write(path, one.to_json())
    text = cut_table.of_reports([path])
    assert "3 of 3 booted, 2 held, 2 distinct states" in text
    assert "`running efibootmgr / x` | ab-update-staged, volume-a | AZLB | AZLA, AZLB | 1 |" in text
    assert "AZLB, AZLA | no: waited in vain |" in text


def test_a_report_without_power_cuts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    report.write(path, told(Result.PASSED).to_json())
    with pytest.raises(LabError, match="holds no power cuts"):
        cut_table.of_reports([path])
