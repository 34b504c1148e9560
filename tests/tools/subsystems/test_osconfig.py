"""Services, users of the servicing system and the agent itself, in a copy of the running system."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.subsystem import Subsystem
from agent.linux import accounts
from agent.linux.run import run
from agent.reporting.recorder import Recorder
from agent.subsystems import self_upgrade
from agent.subsystems.management_os import ManagementOs
from agent.subsystems.osconfig import OsConfig
from agent.subsystems.self_upgrade import Agent
from tests.kit.system_copy import system_copy
from tests.unit.subsystems.boot.test_arguments import write
from tests.unit.subsystems.storage.samples import CONFIGURATION, configuration

pytestmark = pytest.mark.tools

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
WANTS = "etc/systemd/system/multi-user.target.wants"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with system_copy(tmp_path) as copy:
        for name in ("wanted", "unwanted"):
            write(copy, f"usr/lib/systemd/system/{name}.service", UNIT)
        yield copy


def stage(subsystem: Subsystem, root: Path, more: str) -> None:
    given = configuration(CONFIGURATION + more)
    context = Context(given, ServicingType.CLEAN_INSTALL, newroot=root)
    execute(subsystem.stage(context), context, Recorder("install", []))


def test_services_are_enabled_and_disabled(root: Path) -> None:
    wants = root / WANTS
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "unwanted.service").symlink_to("/usr/lib/systemd/system/unwanted.service")
    stage(OsConfig(), root, "os: {services: {enable: [wanted], disable: [unwanted.service]}}\n")
    assert (wants / "wanted.service").is_symlink()
    assert not (wants / "unwanted.service").is_symlink()


def test_a_service_that_the_image_lacks_is_named(root: Path) -> None:
    with pytest.raises(TridentError, match="cannot enable 'absent") as caught:
        stage(OsConfig(), root, "os: {services: {enable: [absent.service]}}\n")
    assert caught.value.identifier == "servicing/configure-services"
    assert caught.value.fields == {"unit": "absent.service"}


def test_modules_are_configured_where_the_kernel_and_systemd_look(root: Path) -> None:
    modules = "os: {modules: [{name: vfio, loadMode: always}, {name: floppy, loadMode: disable}]}\n"
    stage(OsConfig(), root, modules)
    assert "vfio" in (root / "etc/modules-load.d/modules-load.conf").read_text().splitlines()
    disabled = root / "etc/modprobe.d/modules-disabled.conf"
    assert "blacklist floppy" in disabled.read_text().splitlines()
    assert disabled.stat().st_mode & 0o777 == 0o644


def test_the_options_that_were_asked_for_are_the_ones_that_modprobe_uses(root: Path) -> None:
    write(root, "usr/lib/modprobe.d/zz-vendor.conf", "options dummy numdummies=0\n")
    module = "{name: dummy, loadMode: always, options: {numdummies: '3'}}"
    stage(OsConfig(), root, f"os: {{modules: [{module}]}}\n")
    shown = run(["modprobe", "--showconfig"], chroot=root).stdout.splitlines()
    assert [line for line in shown if "numdummies" in line] == ["options dummy numdummies=3"]


def test_users_of_the_servicing_system_can_log_in_from_then_on(root: Path) -> None:
    write(root, "run/nologin", "System is booting up.\n")
    write(root, "etc/ssh/sshd_config", "Port 22\n")
    stage(
        ManagementOs(root),
        root,
        "managementOs: {users: [{name: rescue, sshMode: key-only, sshPublicKeys: [ssh-rsa A]}]}\n",
    )
    account = accounts.find(root, "rescue")
    assert account is not None
    assert (root / account.home.lstrip("/") / ".ssh/authorized_keys").read_text() == "ssh-rsa A\n"
    assert not (root / "run/nologin").exists()
    drop_in = root / "etc/ssh/sshd_config.d/global_user.conf"
    assert "Match User rescue\n    PasswordAuthentication no\n" in drop_in.read_text()


def test_an_update_leaves_the_users_of_the_servicing_system_alone() -> None:
    given = configuration(CONFIGURATION + "managementOs: {users: [{name: rescue}]}\n")
    assert ManagementOs().stage(Context(given, ServicingType.AB_UPDATE)) == ()


@pytest.fixture
def installed(tmp_path: Path) -> Agent:
    write(tmp_path, "agent/lib/answer.py", "said = 'trident 9'\n")
    return Agent(tmp_path / "agent/lib", tmp_path / "agent/trident")


def launcher(installed: Agent, text: str) -> None:
    python = Path(sys.executable).resolve()  # /tmp, where the checkout may be, is empty in the copy
    installed.launcher.write_text(f"#!{python}\n{text}\n")
    installed.launcher.chmod(0o755)


def test_the_target_gets_this_agent_instead_of_its_own(root: Path, installed: Agent) -> None:
    launcher(installed, f"import sys; sys.path[:0] = ['{installed.home}']; import answer")
    old = write(root, f"{str(installed.home).lstrip(chr(47))}/old.py", "")
    self_upgrade.copy(root, installed)
    assert not old.exists()
    assert (root / str(installed.home).lstrip("/") / "answer.py").is_file()
    copied = root / str(installed.launcher).lstrip("/")
    assert (copied.read_text(), copied.stat().st_mode & 0o777) == (
        installed.launcher.read_text(),
        0o755,
    )
    assert not old.parent.with_name(old.parent.name + ".new").exists()


def test_an_agent_that_the_target_cannot_run_is_an_error(root: Path, installed: Agent) -> None:
    launcher(installed, "import no_such_module")
    with pytest.raises(TridentError, match="no_such_module") as caught:
        self_upgrade.copy(root, installed)
    assert caught.value.code == "copy-trident-binary"
