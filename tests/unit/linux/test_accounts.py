"""Accounts and authorized keys as text."""

from __future__ import annotations

from pathlib import Path

from agent.api.osconfig import PlainTextPassword, User
from agent.linux import accounts
from agent.linux.accounts import Account

PASSWD = """root:x:0:0:root:/root:/bin/bash
broken
alice:x:1000:1001:Alice,,,:/home/alice:/bin/sh
half:x:one:1:::
"""


def test_passwd_lines_are_parsed_and_broken_ones_skipped() -> None:
    assert accounts.parse(PASSWD) == (
        Account("root", 0, 0, "/root", "/bin/bash"),
        Account("alice", 1000, 1001, "/home/alice", "/bin/sh"),
    )


def test_an_account_is_found_by_name(tmp_path: Path) -> None:
    assert accounts.find(tmp_path, "alice") is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    found = accounts.find(tmp_path, "alice")
    assert found is not None
    assert found.uid == 1000
    assert accounts.find(tmp_path, "bob") is None


def test_keys_are_appended_once() -> None:
    present = "ssh-ed25519 AAAA one\n\nssh-ed25519 BBBB two\n"
    merged = accounts.merge_keys(present, ["ssh-ed25519 BBBB two", " ssh-rsa CCCC three "])
    assert merged == "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\nssh-rsa CCCC three\n"
    assert accounts.merge_keys(merged, ["ssh-rsa CCCC three"]) == merged


def test_keys_of_several_lines_are_as_many_keys() -> None:
    assert accounts.merge_keys("", ["a\nb\n", "b"]) == "a\nb\n"


def test_a_new_user_gets_its_own_group_even_when_that_is_there_already() -> None:
    assert accounts.useradd_options(User(name="alice"), []) == ["--create-home", "--user-group"]
    assert accounts.useradd_options(User(name="alice"), ["alice"])[-2:] == ["--gid", "alice"]


def test_a_new_user_is_made_in_its_primary_group_and_not_moved_there() -> None:
    user = User(name="alice", primary_group="staff", uid=7, home_directory="/srv/a")
    assert accounts.useradd_options(user, ["staff"]) == [
        "--create-home", "--uid", "7", "--home-dir", "/srv/a", "--gid", "staff",
    ]  # fmt: skip
    assert "--gid" not in accounts.usermod_options(user, exists=False)
    assert accounts.usermod_options(user, exists=True)[:2] == ["--gid", "staff"]


def test_passwords_are_never_arguments() -> None:
    plain = PlainTextPassword(type="dangerous-plain-text", value="secret")
    user = User(name="alice", password=plain, startup_command="/bin/sh")
    assert accounts.usermod_options(user, exists=False) == ["--shell", "/bin/sh"]


def test_groups_are_read_by_name(tmp_path: Path) -> None:
    assert accounts.groups(tmp_path) == ()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("root:x:0:\nbroken\nstaff:x:50:alice,bob\n")
    assert accounts.groups(tmp_path) == ("root", "staff")
