"""update, commit and rollback for real, in a private mount namespace; see update_driver.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.api.status import AbVolume, ServicingState
from tests.kit.update_sandbox import configure, drive, ends, firmware, listing, of_side, rows
from tests.unit.cosi.images import cosi_bytes

pytestmark = pytest.mark.tools

STEPS = (
    "boot/withdraw",
    "storage/make",
    "storage/fill",
    "boot/files",
    "hooks/postProvision/outside",
    "management/settings",
    "os-config/identity",
    "trial/deadline",
    "hooks/postConfigure/inside",
    "initrd/regenerate",
    "history/staged",
    "selinux/labels",
    "management/flush",
    "boot/next",
    "boot/order",
    "history/logs",
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "image.cosi").write_bytes(cosi_bytes())
    configure(tmp_path, "v1")
    return tmp_path


def test_an_update_is_staged_tried_and_committed(work: Path) -> None:
    v2 = configure(work, "v2")
    output = drive(work, v2, "update stage,finalize", "power-on", "commit")
    assert ends(output)[1:] == [
        "update ab-update-finalized None volume-a reboot left []",
        "power-on ab-update-finalized None volume-a stay left []",
        "commit provisioned None volume-b stay left []",
    ], "\n".join(output)
    assert "booted root-b" in output
    assert of_side(work, "root-b", "/etc/motd") == b"v2\n"
    assert of_side(work, "root-b", "/etc/machine-id") == b"0123456789abcdef0123456789abcdef\n"
    assert of_side(work, "root-b", "/etc/hostname") == b"v1\n"
    assert of_side(work, "root-b", "/configured") == b"ab_update\n"
    assert of_side(work, "trident", "/keep") == b"of v1\n"
    assert "trident-commit-deadline" not in listing(work, "root-b", "/etc/systemd/system")
    assert b"loader of volume-b" in of_side(work, "esp", "/EFI/BOOT/bootx64.efi")
    states = [(row.servicing_state, row.overwritten_volume) for row in rows(work)]
    assert states == [
        (ServicingState.PROVISIONED, None),
        (ServicingState.PROVISIONED, AbVolume.B),
        (ServicingState.AB_UPDATE_STAGED, None),
        (ServicingState.AB_UPDATE_FINALIZED, None),
        (ServicingState.PROVISIONED, None),
    ]
    kept = listing(work, "trident", "/")
    assert "trident-AbUpdateStaged-" in kept
    assert "trident-AbUpdateFinalized-" in kept


def test_the_next_update_goes_to_the_first_side_and_can_be_rolled_back(work: Path) -> None:
    use = [configure(work, "v2"), configure(work, "v3")]
    cycle = ["update stage,finalize", "power-on", "commit"]
    output = drive(
        work,
        *(use[0], *cycle, use[1], *cycle),
        *("rollback stage,finalize", "power-on", "commit", "rollback stage,finalize"),
    )
    assert ends(output)[-5:] == [
        "commit provisioned None volume-a stay left []",
        "rollback manual-rollback-ab-finalized None volume-a reboot left []",
        "power-on manual-rollback-ab-finalized None volume-a stay left []",
        "commit provisioned None volume-b stay left []",
        "rollback provisioned None volume-b stay left []",
    ], "\n".join(output)
    assert "refused servicing/manual-rollback there is no system to go back to" in output[-2]
    assert of_side(work, "root-a", "/etc/motd") == b"v3\n"
    assert of_side(work, "root-b", "/etc/motd") == b"v2\n"
    last = rows(work)[-1]
    assert last.spec.os.additional_files[0].content == "v2\n"


def test_while_staged_the_deadline_is_in_the_target_and_nothing_boots_it(work: Path) -> None:
    output = drive(work, configure(work, "v2"), "update stage", "power-on", "commit")
    assert ends(output)[1:] == [
        "update ab-update-staged None volume-a stay left []",
        "power-on ab-update-staged None volume-a stay left []",
        "commit ab-update-staged None volume-a stay left []",
    ], "\n".join(output)
    assert "booted root-a" in output
    assert "trident-commit-deadline.timer" in listing(work, "root-b", "/etc/systemd/system")
    assert firmware(work) == (None, ["AZLA"])


def test_a_reboot_between_stage_and_finalize_changes_nothing(work: Path) -> None:
    output = drive(
        work,
        configure(work, "v2"),
        *("update stage", "power-on", "commit", "finalize-staged", "power-on", "commit"),
    )
    assert ends(output)[-3:] == [
        "finalize-staged ab-update-finalized None volume-a reboot left []",
        "power-on ab-update-finalized None volume-a stay left []",
        "commit provisioned None volume-b stay left []",
    ], "\n".join(output)


def test_another_configuration_is_not_finalized(work: Path) -> None:
    """F65."""
    use = [configure(work, "v2"), configure(work, "v3")]
    output = drive(work, use[0], "update stage", use[1], "update finalize", "update stage")
    assert "refused invalid-input/staged-configuration-changed" in " ".join(output)
    assert ends(output)[-1] == "update ab-update-staged None volume-a stay left []"
    assert of_side(work, "root-b", "/etc/motd") == b"v3\n"


def test_what_changes_nothing_does_nothing(work: Path) -> None:
    image = {"url": f"file://{work}/image.cosi", "sha384": "0" * 96}
    configure(work, "v1", image=image)
    checks = [{"name": "new", "runOn": ["all"], "content": "true"}]
    output = drive(
        work,
        configure(work, "v2", image=image, os=_os("v1"), health={"checks": checks}),
        "update stage,finalize",
    )
    assert ends(output)[-1] == "update provisioned None volume-a stay left []"
    assert len(rows(work)) == 1


def _os(name: str) -> dict[str, Any]:
    return {"additionalFiles": [{"destination": "/etc/motd", "content": f"{name}\n"}]}


def test_an_image_without_storage_uses_the_storage_there_is(work: Path) -> None:
    output = drive(work, configure(work, "v2", storage={}), "update stage,finalize")
    assert ends(output)[-1] == "update ab-update-finalized None volume-a reboot left []"


def test_storage_cannot_be_changed_by_an_update(work: Path) -> None:
    document = json.loads((work / "configuration.json").read_text())
    document["storage"]["disks"][0]["partitions"][3]["size"] = "64M"
    output = drive(work, configure(work, "v2", storage=document["storage"]), "update stage")
    assert "invalid-host-configuration-dynamic" in " ".join(output)
    assert len(rows(work)) == 2
    assert rows(work)[-1].last_error is not None


def test_an_unhealthy_system_gives_way_and_the_old_one_says_why(work: Path) -> None:
    checks = [{"name": "sick", "runOn": ["ab-update"], "content": "echo no disk; exit 3"}]
    output = drive(
        work,
        configure(work, "v2", health={"checks": checks}),
        *("update stage,finalize", "power-on", "commit", "power-on", "commit", "commit"),
    )
    text = "\n".join(output)
    assert ends(output)[-4:] == [
        "commit ab-update-health-check-failed None volume-a reboot left []",
        "power-on ab-update-health-check-failed None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
    ], text
    assert "gave way health-checks/health-checks-failed" in text
    assert "refused health-checks/ab-update-health-check-commit-check the update was undone" in text
    last = rows(work)[-1]
    assert isinstance(last.last_error, dict)
    assert "no disk" in str(last.last_error["message"])
    assert last.spec.os.additional_files[0].content == "v1\n"
    assert "trident-health-check-failure-" in listing(work, "trident", "/")


def test_a_system_that_does_not_come_up_is_reported_by_the_old_one(work: Path) -> None:
    """F08, F09: whatever kept it from coming up."""
    output = drive(
        work,
        configure(work, "v2"),
        *("update stage,finalize", "power-on", "boot root-a", "commit", "update stage,finalize"),
    )
    assert "refused servicing/ab-update-reboot-check" in " ".join(output)
    assert ends(output)[-2:] == [
        "commit provisioned None volume-a stay left []",
        "update ab-update-finalized None volume-a reboot left []",
    ], "\n".join(output)


def test_an_update_that_is_told_to_stop_lets_go_and_says_so(work: Path) -> None:
    """F10: SIGTERM, while a script of the operator runs."""
    slow = {"name": "slow", "runOn": ["all"], "content": f"touch {work}/runs; sleep 250"}
    v2 = configure(work, "v2", scripts={"postProvision": [slow]})
    driver = f"{sys.executable} -m tests.kit.update_driver {work} update stage,finalize"
    runs = f"test -e {work}/runs || ! kill -0 $p"
    told = f"{driver} & p=$!; until {runs}; do sleep 0.05; done; kill $p; wait $p"
    output = drive(work, v2, f"sh {told}", "power-on", "commit")
    assert "refused servicing/interrupted stopped by SIGTERM" in "\n".join(output)
    assert ends(output)[-3:] == [
        "update provisioned None volume-a stay left []",
        "power-on provisioned None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
    ], "\n".join(output)
    last = rows(work)[-1]
    assert isinstance(last.last_error, dict)
    assert last.last_error["error"] == "interrupted"
    assert last.overwritten_volume is AbVolume.B


def test_a_pre_reboot_script_that_fails_leaves_the_update_staged_and_the_firmware_alone(
    work: Path,
) -> None:
    script = {"name": "drained", "runOn": ["ab-update"], "content": f"test -e {work}/drained"}
    v2 = configure(work, "v2", scripts={"preReboot": [script]})
    output = drive(work, v2, "update stage,finalize", "power-on", "commit")
    assert (
        "refused servicing/run-pre-reboot-script the script 'drained' exited with 1"
        in "\n".join(output)
    )
    assert ends(output)[1:] == [
        "update ab-update-staged None volume-a stay left []",
        "power-on ab-update-staged None volume-a stay left []",
        "commit ab-update-staged None volume-a stay left []",
    ], "\n".join(output)
    assert firmware(work) == (None, ["AZLA"])
    last = rows(work)[-1]
    assert isinstance(last.last_error, dict)
    assert "was not told to boot the target, which stays staged" in str(last.last_error["message"])


def test_after_a_pre_reboot_script_failed_finalizing_again_is_enough(work: Path) -> None:
    script = {"name": "drained", "runOn": ["ab-update"], "content": f"test -e {work}/drained"}
    v2 = configure(work, "v2", scripts={"preReboot": [script]})
    output = drive(
        work,
        v2,
        *("update stage,finalize", f"sh touch {work}/drained", "update finalize"),
        *("power-on", "commit"),
    )
    assert ends(output)[-3:] == [
        "update ab-update-finalized None volume-a reboot left []",
        "power-on ab-update-finalized None volume-a stay left []",
        "commit provisioned None volume-b stay left []",
    ], "\n".join(output)


def test_an_update_is_refused_until_the_last_one_was_committed(work: Path) -> None:
    output = drive(
        work,
        configure(work, "v2"),
        "update stage,finalize",
        "update stage,finalize",
        "rollback stage",
    )
    text = " ".join(output)
    assert "refused internal/unexpected-servicing-state" in text
    assert "refused servicing/manual-rollback" in text
    assert ends(output)[-1] == "rollback ab-update-finalized None volume-a stay left []"


def test_updates_start_only_from_the_committed_side(work: Path) -> None:
    output = drive(work, configure(work, "v2"), "boot root-b", "update stage,finalize")
    assert "root-device-path-ab-active-volume-mismatch" in " ".join(output)
    assert len(rows(work)) == 2


def test_a_rollback_is_refused_when_the_other_side_was_written(work: Path) -> None:
    """F66: by something that the datastore knows nothing of."""
    cycle = (configure(work, "v2"), "update stage,finalize", "power-on", "commit")
    output = drive(work, *cycle, f"sh mkfs.ext4 -q -F {work}/root-a.img", "rollback stage,finalize")
    assert "holds no operating system" in " ".join(output)
    assert ends(output)[-1] == "rollback provisioned None volume-b stay left []"
    assert firmware(work)[1][0] == "AZLB"


def test_a_rollback_is_refused_when_another_system_is_there(work: Path) -> None:
    """F66."""
    cycle = (configure(work, "v2"), "update stage,finalize", "power-on", "commit")
    exchange = f"sh tune2fs -f -U random {work}/root-a.img >/dev/null"
    output = drive(work, *cycle, exchange, "rollback stage")
    assert "boots another file system than the one that is there" in " ".join(output)


def test_a_rollback_can_be_staged_and_finalized_apart(work: Path) -> None:
    cycle = (configure(work, "v2"), "update stage,finalize", "power-on", "commit")
    output = drive(work, *cycle, "rollback stage", "rollback finalize", "power-on", "commit")
    assert ends(output)[-4:] == [
        "rollback manual-rollback-ab-staged None volume-b stay left []",
        "rollback manual-rollback-ab-finalized None volume-b reboot left []",
        "power-on manual-rollback-ab-finalized None volume-b stay left []",
        "commit provisioned None volume-a stay left []",
    ], "\n".join(output)


@pytest.mark.parametrize("step", STEPS)
def test_power_cut_at_any_step_boots_a_whole_system_and_the_update_converges(
    work: Path, step: str
) -> None:
    """F01, F02, F03, F04: killed in front of the step, then the power comes back."""
    output = drive(
        work,
        configure(work, "v2"),
        *(f"update stage,finalize {step}", "power-on", "commit"),
        *("update stage,finalize", "power-on", "commit"),
    )
    text = "\n".join(output)
    assert "failed 137" in text
    told_to_boot = STEPS.index(step) > STEPS.index("boot/next")
    assert ("booted root-b" in output[: output.index("failed 137") + 4]) is told_to_boot, text
    _, first_commit, *_, last_commit = [line for line in ends(output) if "power-on" not in line]
    if told_to_boot:
        assert first_commit == "commit provisioned None volume-b stay left []", text
    else:
        assert first_commit.startswith(("commit provisioned None volume-a", "commit ab-update-st"))
    assert last_commit == "commit provisioned None volume-b stay left []", text
    assert of_side(work, "trident", "/keep") == b"of v1\n"


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_was_killed_is_simply_repeated(work: Path, step: str) -> None:
    """F01."""
    output = drive(
        work, configure(work, "v2"), f"update stage,finalize {step}", "update stage,finalize"
    )
    assert "failed 137" in output
    last = ends(output)[-1]
    assert last == "update ab-update-finalized None volume-a reboot left []", "\n".join(output)
    assert firmware(work) == ("AZLB", ["AZLA", "AZLB"])
