"""Accounts with the real useradd, usermod and chpasswd, in a system that is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.osconfig import HashedPassword, PlainTextPassword, User
from agent.linux import accounts
from agent.linux.run import run

pytestmark = pytest.mark.toolbox

ROOT = Path("/")
NAME = "tridenttest"
HASH = "$6$salt$0123456789012345678901234567890123456789"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA test"


@pytest.fixture(autouse=True)
def no_account() -> Iterator[None]:
    yield
    run(["userdel", "--remove", NAME], ok=(0, 6, 12))


def shadow() -> list[str]:
    lines = Path("/etc/shadow").read_text().splitlines()
    return next(line.split(":") for line in lines if line.startswith(f"{NAME}:"))


def test_a_user_is_made_with_uid_home_groups_shell_and_keys() -> None:
    user = User(
        name=NAME,
        uid=4711,
        home_directory="/home/elsewhere",
        secondary_groups=("daemon", "bin"),
        startup_command="/bin/sh",
        ssh_public_keys=(KEY,),
    )
    accounts.ensure(ROOT, user)
    account = accounts.find(ROOT, NAME)
    assert account is not None
    assert (account.uid, account.home, account.shell) == (4711, "/home/elsewhere", "/bin/sh")
    assert set(run(["id", "-nG", NAME]).stdout.split()) == {NAME, "daemon", "bin"}
    assert shadow()[1] == "*", "locked, but keys work"
    keys = Path("/home/elsewhere/.ssh/authorized_keys")
    assert keys.read_text() == f"{KEY}\n"
    for path, mode in ((keys, 0o600), (keys.parent, 0o700)):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (mode, 4711)


def test_doing_it_twice_changes_nothing() -> None:
    user = User(name=NAME, ssh_public_keys=(KEY,))
    accounts.ensure(ROOT, user)
    before = accounts.find(ROOT, NAME)
    accounts.ensure(ROOT, user)
    assert accounts.find(ROOT, NAME) == before
    assert Path(f"/home/{NAME}/.ssh/authorized_keys").read_text() == f"{KEY}\n"


def test_a_hash_is_stored_as_it_is_and_a_password_as_a_hash() -> None:
    hashed = HashedPassword(type="dangerous-hashed", value=HASH)
    accounts.ensure(ROOT, User(name=NAME, password=hashed, dangerous_password_expires_days=30))
    assert shadow()[1] == HASH
    assert shadow()[4] == "30"
    plain = PlainTextPassword(type="dangerous-plain-text", value="correct horse")
    accounts.ensure(ROOT, User(name=NAME, password=plain))
    assert shadow()[1].startswith("$6$")


@pytest.mark.parametrize("change", [{"uid": 4712}, {"home_directory": "/srv/other"}])
def test_an_existing_user_keeps_uid_and_home(change: dict[str, object]) -> None:
    accounts.ensure(ROOT, User(name=NAME, uid=4711))
    with pytest.raises(TridentError, match=f"user '{NAME}' has ") as caught:
        accounts.ensure(ROOT, User.model_validate({"name": NAME} | change))
    assert caught.value.code == "set-up-users"


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(TridentError, match="no-such-group"):
        accounts.ensure(ROOT, User(name=NAME, secondary_groups=("no-such-group",)))
