"""User accounts of a target system, made by its own useradd, usermod and chpasswd in a chroot.

Passwords and their hashes go by stdin, never in argv.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.api.osconfig import HashedPassword, LockedPassword, PlainTextPassword, User
from agent.linux import files
from agent.linux.run import run

TOOLS_IN_TARGET = ("useradd", "usermod", "chpasswd", "chage")
_NO_SUCH_KEY = 2
_NO_PASSWORD = "*"
"""Matches no password, and unlike `!` does not make sshd refuse keys."""


@dataclass(frozen=True)
class Account:
    """One line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def parse(passwd: str) -> tuple[Account, ...]:
    """The accounts in the text of /etc/passwd; malformed lines are skipped."""
    accounts = []
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdecimal() and fields[3].isdecimal():
            accounts.append(
                Account(fields[0], int(fields[2]), int(fields[3]), fields[5], fields[6])
            )
    return tuple(accounts)


def find(root: Path, name: str) -> Account | None:
    """The account `name` of the system below `root`, or None."""
    passwd = root / "etc/passwd"
    text = passwd.read_text(errors="replace") if passwd.exists() else ""
    return next((account for account in parse(text) if account.name == name), None)


def groups(root: Path) -> tuple[str, ...]:
    """Names of the groups in /etc/group of the system below `root`."""
    file = root / "etc/group"
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return tuple(line.partition(":")[0] for line in lines if ":" in line)


def ensure(root: Path, user: User) -> None:
    """Make the account that `user` describes, or bring an existing one to it.

    `/dev`, `/proc` and `/sys` must be mounted below `root`. Raises set-up-users when an existing
    account has another uid or home directory or when a group is missing, command-failed when a tool
    refuses.
    """
    with context(f"setting up user '{user.name}'"):
        account = find(root, user.name)
        present = _present_groups(root, user)
        _check_groups(user, present, exists=account is not None)
        if account is None:
            run(["useradd", *useradd_options(user, present), user.name], chroot=root)
        else:
            _check_unchanged(account, user)
        options = usermod_options(user, exists=account is not None)
        if options:
            run(["usermod", *options, user.name], chroot=root)
        _set_password(root, user)
        _set_expiry(root, user)
        if user.ssh_public_keys:
            _authorize_keys(root, user)


def merge_keys(present: str, keys: Iterable[str]) -> str:
    """The text of authorized_keys with those of `keys` appended that it lacks."""
    lines = [line for line in present.splitlines() if line.strip()]
    lines += [line.strip() for key in keys for line in key.splitlines() if line.strip()]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def useradd_options(user: User, present: Collection[str]) -> list[str]:
    """The options that make the account; `present` are the groups that there are. Pure.

    Without a primary group the user gets one of its own name, which may be there already.
    """
    options = ["--create-home"]
    if user.uid is not None:
        options += ["--uid", str(user.uid)]
    if user.home_directory is not None:
        options += ["--home-dir", user.home_directory]
    group = user.primary_group or user.name
    return [*options, *(["--gid", group] if group in present else ["--user-group"])]


def usermod_options(user: User, *, exists: bool) -> list[str]:
    """The options that bring an account to what it is to be. Pure.

    `exists`: the image had it; useradd gave a new one its primary group.
    """
    options: list[str] = []
    if exists and user.primary_group is not None:
        options += ["--gid", user.primary_group]
    if user.secondary_groups:
        options += ["--append", "--groups", ",".join(user.secondary_groups)]
    if user.startup_command is not None:
        options += ["--shell", user.startup_command]
    if isinstance(user.password, LockedPassword):
        options += ["--password", _NO_PASSWORD]
    return options


def _needed_groups(user: User) -> set[str]:
    return {*user.secondary_groups, *([user.primary_group] if user.primary_group else [])}


def _present_groups(root: Path, user: User) -> set[str]:
    """The groups of /etc/group, and those of other sources that the user is to be in."""
    present = set(groups(root))
    for name in _needed_groups(user) - present:
        if run(["getent", "group", name], chroot=root, ok=(0, _NO_SUCH_KEY)).returncode == 0:
            present.add(name)
    return present


def _check_groups(user: User, present: Collection[str], *, exists: bool) -> None:
    own = set() if exists else {user.name}
    missing = sorted(_needed_groups(user) - set(present) - own)
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        raise _conflict(user, f"is to be in {names}, and the system has no such group")


def _check_unchanged(account: Account, user: User) -> None:
    if user.uid is not None and user.uid != account.uid:
        raise _conflict(user, f"has uid {account.uid}, not {user.uid}")
    if user.home_directory is not None and user.home_directory != account.home:
        raise _conflict(user, f"has home directory {account.home}, not {user.home_directory}")


def _set_password(root: Path, user: User) -> None:
    match user.password:
        case LockedPassword():
            return
        case HashedPassword(value=secret):
            options = ["--encrypted"]
        case PlainTextPassword(value=secret):
            options = ["--crypt-method", "SHA512"]
    if "\n" in secret or ":" in user.name:
        raise _conflict(user, "has a password of more than one line")
    run(["chpasswd", *options], stdin=f"{user.name}:{secret}\n".encode(), chroot=root)


def _set_expiry(root: Path, user: User) -> None:
    """0 days: the password has to be changed at the next login."""
    days = user.dangerous_password_expires_days
    if days is not None:
        options = ["--maxdays", str(days)] if days else ["--lastday", "0"]
        run(["chage", *options, user.name], chroot=root)


def _authorize_keys(root: Path, user: User) -> None:
    account = find(root, user.name)
    if account is None:
        raise _conflict(user, "is missing from /etc/passwd after useradd")
    home = files.inside(root, account.home)
    directory = home / ".ssh"
    if not directory.resolve().is_relative_to(root.resolve()):
        raise _conflict(user, f"has a home directory {account.home} that leads out of the target")
    owned = [path for path in (home, directory) if not path.exists()]
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    keys = directory / "authorized_keys"
    present = keys.read_text() if keys.exists() else ""
    files.write(keys, merge_keys(present, user.ssh_public_keys), mode=0o600)
    for path in {*owned, directory, keys}:
        os.chown(path, account.uid, account.gid)


def _conflict(user: User, what: str) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "set-up-users",
        f"user '{user.name}' {what}",
        hint="correct os.users or managementOs.users of the Host Configuration, or the image",
        fields={"user": user.name},
    )
