"""preReboot scripts: when they run, what they see, and what a failure leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.engine import plan
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.subsystem import Phase
from agent.reporting.recorder import Recorder
from agent.servicing.subsystems import Subsystems
from agent.subsystems.pre_reboot import PreReboot


def script(text: str, *, name: str = "x", run_on: str = "all") -> dict[str, Any]:
    return {"name": name, "runOn": [run_on], "content": text}


def configured(*scripts: dict[str, Any], **more: Any) -> HostConfiguration:
    document = {"scripts": {"preReboot": list(scripts)}} | more
    return HostConfiguration.model_validate_json(json.dumps(document))


def finalize(context: Context) -> list[str]:
    steps = PreReboot().finalize(context)
    execute(steps, context, Recorder("update", []))
    return [step.name for step in steps]


def test_a_script_runs_in_the_servicing_os_with_the_target_mounted(tmp_path: Path) -> None:
    text = 'echo "$SERVICING_TYPE $TARGET_ROOT" > "$TARGET_ROOT/out"'
    given = configured(script(text))
    assert finalize(Context(given, ServicingType.AB_UPDATE, newroot=tmp_path)) == [
        "hooks/preReboot/x"
    ]
    assert (tmp_path / "out").read_text() == f"ab_update {tmp_path}\n"


def test_what_reboots_nothing_runs_nothing(tmp_path: Path) -> None:
    given = configured(script("exit 1"), script("exit 1", run_on="clean-install"))
    for servicing in (ServicingType.RUNTIME_UPDATE, ServicingType.NO_ACTIVE_SERVICING):
        assert finalize(Context(given, servicing, newroot=tmp_path)) == []


def test_a_failure_says_that_nothing_boots_the_target() -> None:
    given = configured(script("echo drained not; exit 3", name="drain"))
    with pytest.raises(TridentError) as caught:
        finalize(Context(given, ServicingType.CLEAN_INSTALL))
    assert caught.value.identifier == "servicing/run-pre-reboot-script"
    assert caught.value.message == (
        "the script 'drain' exited with 3: drained not; "
        "the machine was not told to boot the target, which stays staged"
    )
    assert "--allowed-operations finalize" in (caught.value.hint or "")


def test_a_script_that_is_a_file_is_read_when_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "script"
    context = Context(
        configured({"name": "x", "runOn": ["all"], "path": str(file)}),
        ServicingType.AB_UPDATE,
        newroot=tmp_path,
    )
    with pytest.raises(TridentError) as early:
        PreReboot().validate(context)
    assert early.value.fields["inner"] == "load-script"
    file.write_text('echo old > "$TARGET_ROOT/out"')
    PreReboot().validate(context)
    file.write_text('echo new > "$TARGET_ROOT/out"')
    finalize(context)
    assert (tmp_path / "out").read_text() == "new\n"


def test_on_the_way_back_the_scripts_of_the_system_that_is_left_run(tmp_path: Path) -> None:
    def touch(name: str) -> HostConfiguration:
        return configured(script(f'touch "$TARGET_ROOT/{name}"'))

    context = Context(
        touch("of-the-target"),
        ServicingType.MANUAL_ROLLBACK_AB,
        old_status=HostStatus(spec=touch("of-the-running"), ab_active_volume=AbVolume.B),
        newroot=tmp_path,
    )
    finalize(context)
    assert [path.name for path in tmp_path.iterdir()] == ["of-the-running"]


@pytest.mark.parametrize(
    ("subsystems", "servicing"),
    [
        (Subsystems.for_install(), ServicingType.CLEAN_INSTALL),
        (Subsystems.for_update(), ServicingType.AB_UPDATE),
        (Subsystems.for_rollback(), ServicingType.MANUAL_ROLLBACK_AB),
    ],
)
def test_it_comes_before_everything_that_makes_the_machine_boot_the_target(
    subsystems: Subsystems, servicing: ServicingType
) -> None:
    given = configured(script("true"), internalParams={"preRebootChecks": True})
    status = HostStatus(spec=given, ab_active_volume=AbVolume.A)
    context = Context(given, servicing, old_status=status)
    planned = plan.build("x", subsystems.ordered, context, stage=False, finalize=True)
    names = [step.name for step in planned.phase(Phase.FINALIZE)]
    assert names[:2] == ["hooks/preReboot/x", "pre-reboot/checks"]
    assert "boot/entries" in names
