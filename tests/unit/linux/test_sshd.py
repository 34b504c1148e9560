"""Who may log in over SSH, as sshd reads it."""

from __future__ import annotations

from pathlib import Path

from agent.api.osconfig import SshMode, User
from agent.linux import sshd


def test_sshd_holds_each_user_to_its_mode() -> None:
    users = [
        User(name="root", ssh_mode=SshMode.KEY_ONLY),
        User(name="blocked"),
        User(name="alice", ssh_mode=SshMode.KEY_ONLY),
        User(name="bob", ssh_mode=SshMode.DANGEROUS_ALLOW_PASSWORD),
        User(name="also-blocked"),
    ]
    assert sshd.users_text(users, "os.users").splitlines()[1:] == [
        "PermitRootLogin prohibit-password",
        "DenyUsers blocked also-blocked",
        "Match User alice",
        "    PasswordAuthentication no",
        "    KbdInteractiveAuthentication no",
        "Match User bob",
        "    PasswordAuthentication yes",
        "    KbdInteractiveAuthentication yes",
        "Match all",
    ]


def test_root_is_not_mentioned_unless_it_is_configured() -> None:
    assert "PermitRootLogin" not in sshd.users_text([User(name="a")], "os.users")
    assert "PermitRootLogin no" in sshd.users_text([User(name="root")], "os.users")


def test_the_drop_in_directory_is_read_first_and_only_once() -> None:
    once = sshd.with_include("# comment\n\nPort 22\n")
    assert once.startswith("Include /etc/ssh/sshd_config.d/*.conf\n")
    assert sshd.with_include(once) == once
    debian = "# comment\n\nInclude /etc/ssh/sshd_config.d/*.conf\nPort 22\n"
    assert sshd.with_include(debian) == debian


def test_a_system_without_sshd_is_left_alone(tmp_path: Path) -> None:
    assert not sshd.configure(tmp_path, [User(name="a")], "os.users")
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_names_the_section_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "etc/ssh").mkdir(parents=True)
    (tmp_path / "etc/ssh/sshd_config").write_text("Port 22\n")
    assert sshd.configure(tmp_path, [User(name="a")], "managementOs.users")
    drop_in = tmp_path / "etc/ssh/sshd_config.d/global_user.conf"
    assert drop_in.read_text().startswith("# Written by Trident from managementOs.users")
    assert drop_in.stat().st_mode & 0o777 == 0o600


def test_the_unit_is_debians_or_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    assert sshd.unit(tmp_path) is None
    (folder / "sshd.service").touch()
    assert sshd.unit(tmp_path) == "sshd.service"
    (folder / "ssh.service").touch()
    assert sshd.unit(tmp_path) == "ssh.service"
