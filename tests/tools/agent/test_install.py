"""The install pipeline for real, in a private mount namespace; see tests/kit/install_driver.py."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent import datastore
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingState
from agent.linux.run import Result, run
from agent.servicing import install
from tests.kit import install_driver
from tests.kit.extensions import sysext
from tests.kit.mountinfo import mount_points
from tests.kit.small_host import image_and_storage
from tests.unit.cosi.images import cosi_bytes

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[3]
SANDBOX = """
mount -t tmpfs tmpfs "$1/sandbox"
mkdir "$1/sandbox/upper" "$1/sandbox/work" "$1/sandbox/root"
mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$1/sandbox/upper,workdir=$1/sandbox/work" "$1/sandbox/root"
for name in proc sys dev; do mount --rbind "/$name" "$1/sandbox/root/$name"; done
mkdir -p "$1/sandbox/root$1"
mount --bind "$1" "$1/sandbox/root$1"
rm -rf "$1/sandbox/root/run/trident" "$1/sandbox/root/var/lib/trident"
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "image.cosi").write_bytes(cosi_bytes())
    configure(tmp_path)
    return tmp_path


def configure(work: Path, **changes: Any) -> None:
    script = 'echo "$SERVICING_TYPE $TARGET_ROOT" > "$TARGET_ROOT/{0}"'
    document: dict[str, Any] = {
        **image_and_storage(work),
        "os": {
            "hostname": "target",
            "additionalFiles": [{"destination": "/etc/motd", "content": "hello\n"}],
        },
        "scripts": {
            "postProvision": [
                {"name": "outside", "runOn": ["all"], "content": script.format("provisioned")}
            ],
            "postConfigure": [
                {"name": "inside", "runOn": ["all"], "content": script.format("configured")}
            ],
        },
    }
    (work / "configuration.json").write_text(json.dumps(document | changes))


def drive(work: Path, *runs: str) -> Result:
    """Run the driver with the arguments of each of `runs` in turn, all in one sandbox."""
    driver = f"chroot $1/sandbox/root {sys.executable} -m tests.kit.install_driver $1"
    lines = [f"{driver} {arguments} || echo failed $?" for arguments in runs]
    script = "\n".join([SANDBOX, *lines])
    return run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", script, "sh", work],
        timeout_s=120,
        env={"PYTHONPATH": os.fspath(ROOT)},
        merge_stderr=True,
    )


def target(work: Path, name: str, path: str) -> bytes:
    """A file of an installed file system image, read without mounting it."""
    return run(["debugfs", "-R", f"cat {path}", work / f"{name}.img"]).stdout_bytes


def listing(work: Path, name: str, path: str) -> str:
    return run(["debugfs", "-R", f"ls -l {path}", work / f"{name}.img"]).stdout


def target_status(work: Path) -> HostStatus:
    copy = work / "copy.sqlite"
    copy.write_bytes(target(work, "trident", "/datastore.sqlite"))
    with datastore.opened(copy) as store:
        status = store.latest()
    assert status is not None
    return status


def test_an_install_ends_finalized_with_its_memory_in_the_target(work: Path) -> None:
    output = drive(work, "stage,finalize").stdout
    assert "outcome clean-install-finalized True left []" in output, output
    assert target(work, "root-a", "/etc/hostname") == b"target\n"
    assert target(work, "root-a", "/etc/motd") == b"hello\n"
    assert target(work, "root-a", "/provisioned") == b"clean_install /mnt/newroot\n"
    assert target(work, "root-a", "/configured") == b"clean_install /\n"
    assert target(work, "esp", "/entry") == b"AZLA\n"
    status = target_status(work)
    assert status.servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED
    assert not status.is_management_os
    assert status.spec.image is not None
    assert len(status.spec.image.sha384) == 96
    assert set(status.partition_paths) == {"esp", "root-a", "root-b", "trident"}
    kept = listing(work, "trident", "/")
    assert "trident-CleanInstallFinalized-" in kept
    assert "trident-metrics-CleanInstallFinalized-" in kept
    assert "trident-CleanInstallStaged-" in kept


def test_events_come_in_the_order_of_the_phases(work: Path) -> None:
    output = drive(work, "stage,finalize").stdout
    started = [line.split()[1] for line in output.splitlines() if line.startswith("step-started")]
    assert started == [
        "storage/make",
        "storage/fill",
        "initrd/inputs",
        "hooks/postProvision/outside",
        "management/settings",
        "os-config/hostname",
        "hooks/files",
        "hooks/postConfigure/inside",
        "initrd/regenerate",
        "history/staged",
        "selinux/labels",
        "management/datastore",
        "boot/entries",
        "history/logs",
        "selinux/late-labels",
    ]
    assert output.splitlines()[0] == "operation-started "


def test_stage_and_finalize_can_be_two_runs(work: Path) -> None:
    output = drive(work, "stage", "finalize").stdout
    assert "outcome clean-install-staged False left []" in output, output
    assert "outcome clean-install-finalized True left []" in output, output
    assert target_status(work).servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED


@pytest.mark.parametrize("runs", [("stage,finalize",), ("stage", "finalize")])
def test_an_extension_image_is_in_the_target_and_merged_at_its_boot(
    work: Path, runs: tuple[str, ...]
) -> None:
    configure(work, os={"sysexts": [sysext(work, "tools")]})
    output = drive(work, *runs).stdout
    assert "outcome clean-install-finalized True left []" in output, output
    assert (
        target(work, "root-a", "/var/lib/extensions/tools.raw")
        == (work / "tools-hello.raw").read_bytes()
    )
    assert ".staging" not in listing(work, "root-a", "/var/lib/extensions")
    wants = listing(work, "root-a", "/etc/systemd/system/sysinit.target.wants")
    assert "systemd-sysext.service" in wants
    (placed,) = target_status(work).spec.os.sysexts
    assert str(placed.path) == "/var/lib/extensions/tools.raw"


def test_an_extension_image_of_another_system_stops_an_install(work: Path) -> None:
    configure(work, os={"sysexts": [sysext(work, "tools", ID="fedora")]})
    output = drive(work, "stage,finalize").stdout
    assert "it is for 'fedora', the operating system is 'debian'" in output, output
    assert not mount_points(work / "sandbox")


def test_nothing_allowed_does_nothing_and_finalize_alone_needs_a_stage(work: Path) -> None:
    output = drive(work, "''", "finalize").stdout
    assert "outcome not-provisioned False" in output, output
    assert "there is no staged installation to finalize" in output
    assert not (work / "root-a.img").exists()


@pytest.mark.parametrize(
    "step",
    [
        "storage/make",
        "storage/fill",
        "hooks/postProvision/outside",
        "management/settings",
        "hooks/postConfigure/inside",
        "history/staged",
        "management/datastore",
        "boot/entries",
        "history/logs",
    ],
)
def test_an_install_killed_at_any_step_converges_when_run_again(work: Path, step: str) -> None:
    """F01."""
    output = drive(work, f"stage,finalize {step}", "stage,finalize").stdout
    assert "failed 137" in output, output
    assert "outcome clean-install-finalized True left []" in output, output
    assert target_status(work).servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED
    assert target(work, "esp", "/entry") == b"AZLA\n"


def test_a_failing_script_stops_it_unmounted_with_the_error_remembered(work: Path) -> None:
    item = {"name": "sick", "runOn": ["all"], "content": "echo no space; exit 3"}
    configure(work, scripts={"postConfigure": [item]})
    output = drive(work, "stage,finalize", "finalize").stdout
    assert "the script 'sick' exited with 3: no space" in output
    assert "operation-failed" in output
    assert "the state is not-provisioned" in output
    assert b"entry" not in listing(work, "esp", "/").encode()
    assert mount_points(work) == []


def test_a_wrong_metadata_hash_stops_it_before_anything_is_touched(work: Path) -> None:
    """F45."""
    configure(work, image={"url": f"file://{work}/image.cosi", "sha384": "0" * 96})
    output = drive(work, "stage,finalize").stdout
    assert "the Host Configuration expects 0000" in output, output
    assert "step-started" not in output
    assert not (work / "root-a.img").exists()


def test_the_plan_names_everything_and_touches_nothing(work: Path) -> None:
    item = {"name": "before", "runOn": ["all"], "content": f"touch {work}/ran"}
    configure(work, scripts={"preServicing": [item]})
    before = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    plan = install.preview(
        install_driver.configuration(work),
        make_subsystems=partial(install_driver.subsystems, work),
    )
    assert {path: path.stat().st_mtime_ns for path in work.iterdir()} == before
    assert [step.name for step in plan.steps] == [
        "hooks/preServicing/before",
        "storage/make",
        "storage/fill",
        "initrd/inputs",
        "management/settings",
        "os-config/hostname",
        "hooks/files",
        "initrd/regenerate",
        "selinux/labels",
        "management/datastore",
        "boot/entries",
        "selinux/late-labels",
    ]
    assert plan.point_of_no_return is plan.steps[1]
    assert plan.title == f"clean install from file://{work}/image.cosi"


def test_the_plan_is_refused_where_the_install_would_be(work: Path) -> None:
    subsystems = partial(install_driver.subsystems, work)
    configure(work, image={"url": f"file://{work}/missing.cosi", "sha384": "ignored"})
    with pytest.raises(TridentError, match=r"missing\.cosi cannot be read"):
        install.preview(install_driver.configuration(work), make_subsystems=subsystems)
    script = {"runOn": ["all"], "path": "/no/such/script"}
    configure(work, scripts={"postConfigure": [script]})
    with pytest.raises(TridentError, match="/no/such/script cannot be read"):
        install.preview(install_driver.configuration(work), make_subsystems=subsystems)


def test_the_configuration_of_this_test_is_valid(work: Path) -> None:
    text = (work / "configuration.json").read_text()
    assert HostConfiguration.model_validate_json(text).storage.volume_pairs
