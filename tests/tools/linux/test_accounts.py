"""Accounts with the real useradd, usermod, chpasswd and chage, in a copy of the running system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.osconfig import HashedPassword, LockedPassword, PlainTextPassword, User
from agent.linux import accounts
from agent.linux.run import run
from tests.kit.system_copy import system_copy

pytestmark = pytest.mark.tools

NAME = "tridenttest"
HASH = "$6$salt$0123456789012345678901234567890123456789"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA test"
PLAIN = PlainTextPassword(type="dangerous-plain-text", value="correct: horse")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with system_copy(tmp_path) as copy:
        yield copy


def shadow(root: Path) -> list[str]:
    lines = (root / "etc/shadow").read_text().splitlines()
    return next(line.split(":") for line in lines if line.startswith(f"{NAME}:"))


def groups(root: Path) -> set[str]:
    return set(run(["id", "-nG", NAME], chroot=root).stdout.split())


def test_a_user_is_made_with_uid_home_groups_shell_and_keys(root: Path) -> None:
    user = User(
        name=NAME,
        uid=4711,
        home_directory="/home/elsewhere",
        secondary_groups=("daemon", "bin"),
        startup_command="/bin/sh",
        ssh_public_keys=(KEY,),
    )
    accounts.ensure(root, user)
    account = accounts.find(root, NAME)
    assert account is not None
    assert (account.uid, account.home, account.shell) == (4711, "/home/elsewhere", "/bin/sh")
    assert groups(root) == {NAME, "daemon", "bin"}
    assert shadow(root)[1] == "*", "locked, but keys work"
    keys = root / "home/elsewhere/.ssh/authorized_keys"
    assert keys.read_text() == f"{KEY}\n"
    for path, mode in ((keys, 0o600), (keys.parent, 0o700)):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (mode, 4711)


def test_doing_it_twice_changes_nothing(root: Path) -> None:
    user = User(name=NAME, ssh_public_keys=(KEY,), secondary_groups=("daemon",))
    accounts.ensure(root, user)
    before = [(root / name).read_text() for name in ("etc/passwd", "etc/group", "etc/shadow")]
    accounts.ensure(root, user)
    assert before == [
        (root / name).read_text() for name in ("etc/passwd", "etc/group", "etc/shadow")
    ]
    assert (root / f"home/{NAME}/.ssh/authorized_keys").read_text() == f"{KEY}\n"


def test_a_hash_is_stored_as_it_is_and_a_password_as_a_hash(root: Path) -> None:
    hashed = HashedPassword(type="dangerous-hashed", value=HASH)
    accounts.ensure(root, User(name=NAME, password=hashed))
    assert shadow(root)[1] == HASH
    accounts.ensure(root, User(name=NAME, password=PLAIN))
    assert shadow(root)[1].startswith("$6$")
    accounts.ensure(root, User(name=NAME, password=LockedPassword()))
    assert shadow(root)[1] == "*"


def test_a_plain_password_is_the_one_that_was_given(root: Path) -> None:
    accounts.ensure(root, User(name=NAME, password=PLAIN))
    stored = shadow(root)[1]
    salt = stored.rpartition("$")[0]
    computed = run(
        ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", PLAIN.value, salt], chroot=root
    )
    assert computed.stdout == stored


@pytest.mark.parametrize("password", [LockedPassword(), PLAIN])
def test_passwords_of_every_kind_expire(root: Path, password: LockedPassword) -> None:
    accounts.ensure(root, User(name=NAME, password=password, dangerous_password_expires_days=30))
    assert shadow(root)[4] == "30"
    accounts.ensure(root, User(name=NAME, password=password, dangerous_password_expires_days=0))
    assert shadow(root)[2] == "0", "has to be changed at the next login"


@pytest.mark.parametrize("change", [{"uid": 4712}, {"home_directory": "/srv/other"}])
def test_an_existing_user_keeps_uid_and_home(root: Path, change: dict[str, object]) -> None:
    accounts.ensure(root, User(name=NAME, uid=4711))
    with pytest.raises(TridentError, match=f"user '{NAME}' has ") as caught:
        accounts.ensure(root, User.model_validate({"name": NAME} | change))
    assert caught.value.code == "set-up-users"


def test_an_existing_user_keeps_its_keys_and_gets_new_ones(root: Path) -> None:
    accounts.ensure(root, User(name=NAME, ssh_public_keys=(KEY,)))
    accounts.ensure(root, User(name=NAME, ssh_public_keys=("ssh-rsa BBBB", KEY)))
    keys = root / f"home/{NAME}/.ssh/authorized_keys"
    assert keys.read_text() == f"{KEY}\nssh-rsa BBBB\n"


def test_an_unknown_group_is_named_before_the_user_is_made(root: Path) -> None:
    for user in (
        User(name=NAME, secondary_groups=("daemon", "no-such-group")),
        User(name=NAME, primary_group="no-such-group"),
    ):
        with pytest.raises(TridentError, match="in 'no-such-group', and") as caught:
            accounts.ensure(root, user)
        assert caught.value.code == "set-up-users"
        assert accounts.find(root, NAME) is None


def test_a_primary_group_is_the_only_one_and_no_other_is_made(root: Path) -> None:
    accounts.ensure(root, User(name=NAME, primary_group="daemon"))
    assert groups(root) == {"daemon"}
    assert NAME not in accounts.groups(root)


def test_a_user_can_have_the_name_of_a_group_that_is_there(root: Path) -> None:
    run(["groupadd", NAME], chroot=root)
    accounts.ensure(root, User(name=NAME, primary_group=NAME))
    assert groups(root) == {NAME}


def test_a_system_user_without_a_home_gets_one_of_its_own_for_its_keys(root: Path) -> None:
    run(["useradd", "--system", "--home-dir", "/srv/none", NAME], chroot=root)
    accounts.ensure(root, User(name=NAME, ssh_public_keys=(KEY,)))
    account = accounts.find(root, NAME)
    assert account is not None
    assert (root / "srv/none").stat().st_uid == account.uid


def test_a_home_that_leads_out_of_the_target_is_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    accounts.ensure(root, User(name=NAME))
    (root / f"home/{NAME}/.ssh").symlink_to(outside)
    with pytest.raises(TridentError, match="leads out of the target"):
        accounts.ensure(root, User(name=NAME, ssh_public_keys=(KEY,)))
    assert list(outside.iterdir()) == []
