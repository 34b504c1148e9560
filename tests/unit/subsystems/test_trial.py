"""The deadline of an updated system: its units as systemd reads them, planting and taking away."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest

from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.engine.context import Context
from agent.linux import run as runner
from agent.linux.run import run
from agent.subsystems import trial
from agent.subsystems.trial import Trial

GRUB = "menuentry x {\n    linux /boot/vmlinuz root=UUID=1 ro\n}\n"


def configuration(document: dict[str, object]) -> HostConfiguration:
    return HostConfiguration.model_validate_json(json.dumps(document))


def context(root: Path, servicing: ServicingType) -> Context:
    given = configuration({"internalParams": {"commitDeadlineSeconds": 120}})
    return Context(given, servicing, HostStatus(ab_active_volume=AbVolume.A), newroot=root)


def planted(root: Path, watchdog: Path) -> Path:
    for step in Trial((watchdog,)).stage(context(root, ServicingType.AB_UPDATE)):
        step.run(context(root, ServicingType.AB_UPDATE))
    return root


def test_the_deadline_leaves_time_for_the_longest_health_check() -> None:
    assert trial.deadline_s(configuration({})) == 900
    checks = [
        {"name": "a", "runOn": ["ab-update"], "systemdServices": ["a"], "timeoutSeconds": 40},
        {"name": "b", "runOn": ["clean-install"], "systemdServices": ["b"], "timeoutSeconds": 900},
    ]
    asked = {"health": {"checks": checks}, "internalParams": {"commitDeadlineSeconds": 100}}
    assert trial.deadline_s(configuration(asked)) == 140


@pytest.mark.parametrize("servicing", [ServicingType.CLEAN_INSTALL, ServicingType.RUNTIME_UPDATE])
def test_only_updates_are_on_trial(tmp_path: Path, servicing: ServicingType) -> None:
    assert Trial().stage(context(tmp_path, servicing)) == ()


def test_what_is_planted_starts_by_itself_and_restarts_the_machine(tmp_path: Path) -> None:
    """F08, F09."""
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").write_text(GRUB)
    root = planted(tmp_path, tmp_path)
    units = root / "etc/systemd/system"
    assert (units / "sysinit.target.wants" / trial.TIMER).resolve() == units / trial.TIMER
    timer = configparser.ConfigParser()
    timer.read(units / trial.TIMER)
    assert timer["Timer"]["OnBootSec"] == "120s"
    service = configparser.ConfigParser()
    service.read(units / trial.SERVICE)
    assert service["Unit"]["SuccessAction"] == "reboot-force"
    assert (
        "RuntimeWatchdogSec=30s"
        in (root / "etc/systemd/system.conf.d/50-trident-trial.conf").read_text()
    )
    assert "root=UUID=1 ro panic=30\n" in (root / "boot/grub/grub.cfg").read_text()


def test_a_host_without_a_watchdog_gets_none(tmp_path: Path) -> None:
    root = planted(tmp_path, tmp_path / "no-such-device")
    assert not (root / "etc/systemd/system.conf.d").exists()


def test_commit_takes_everything_away_once(tmp_path: Path) -> None:
    root = planted(tmp_path, tmp_path)
    assert len(trial.present(root)) == 4
    trial.withdraw(root)
    assert trial.present(root) == ()
    assert [path for path in (root / "etc").rglob("*") if not path.is_dir()] == []
    trial.withdraw(root)


def test_staging_again_plants_the_same(tmp_path: Path) -> None:
    root = planted(planted(tmp_path, tmp_path), tmp_path)
    assert (root / "etc/systemd/system/sysinit.target.wants" / trial.TIMER).is_symlink()


@pytest.mark.tools
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if runner.find("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    root = planted(tmp_path, tmp_path)
    units = root / "etc/systemd/system"
    for unit in ("reboot.target", "shutdown.target", "timers.target", "sysinit.target"):
        (units / unit).write_text("[Unit]\nDescription=stand-in\nDefaultDependencies=no\n")
    found = run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", trial.TIMER, trial.SERVICE],
        merge_stderr=True,
    )
    assert found.stdout == ""
