"""User accounts of a target system, made by its own useradd, usermod and chpasswd in a chroot.

Passwords and their hashes go by stdin, never in argv.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.api.osconfig import HashedPassword, LockedPassword, PlainTextPassword, User
from agent.linux import files
from agent.linux.run import run

TOOLS_IN_TARGET = ("useradd", "usermod", "chpasswd", "chage")
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


def ensure(root: Path, user: User) -> None:
    """Make the account that `user` describes, or bring an existing one to it.

    `/dev`, `/proc` and `/sys` must be mounted below `root`. Raises set-up-users when an existing
    account has another uid or home directory, command-failed when a tool refuses.
    """
    with context(f"setting up user '{user.name}'"):
        account = find(root, user.name)
        if account is None:
            run(["useradd", *_useradd_options(user), user.name], chroot=root)
        else:
            _check_unchanged(account, user)
        options = _usermod_options(user)
        if options:
            run(["usermod", *options, user.name], chroot=root)
        _set_password(root, user)
        if user.ssh_public_keys:
            _authorize_keys(root, user)


def merge_keys(present: str, keys: Iterable[str]) -> str:
    """The text of authorized_keys with those of `keys` appended that it lacks."""
    lines = [line for line in present.splitlines() if line.strip()]
    lines += [key.strip() for key in keys if key.strip() not in lines]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _useradd_options(user: User) -> list[str]:
    options = ["--create-home"]
    if user.uid is not None:
        options += ["--uid", str(user.uid)]
    if user.home_directory is not None:
        options += ["--home-dir", user.home_directory]
    return options


def _usermod_options(user: User) -> list[str]:
    options: list[str] = []
    if user.primary_group is not None:
        options += ["--gid", user.primary_group]
    if user.secondary_groups:
        options += ["--append", "--groups", ",".join(user.secondary_groups)]
    if user.startup_command is not None:
        options += ["--shell", user.startup_command]
    if isinstance(user.password, LockedPassword):
        options += ["--password", _NO_PASSWORD]
    return options


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
    if user.dangerous_password_expires_days is not None:
        days = str(user.dangerous_password_expires_days)
        run(["chage", "--maxdays", days, user.name], chroot=root)


def _authorize_keys(root: Path, user: User) -> None:
    account = find(root, user.name)
    if account is None:
        raise _conflict(user, "is missing from /etc/passwd after useradd")
    directory = files.inside(root, account.home) / ".ssh"
    if not directory.resolve().is_relative_to(root.resolve()):
        raise _conflict(user, f"has a home directory {account.home} that leads out of the target")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = directory / "authorized_keys"
    present = keys.read_text() if keys.exists() else ""
    files.write(keys, merge_keys(present, user.ssh_public_keys), mode=0o600)
    for path in (directory, keys):
        os.chown(path, account.uid, account.gid)


def _conflict(user: User, what: str) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "set-up-users",
        f"user '{user.name}' {what}",
        hint="correct os.users of the Host Configuration, or the image",
        fields={"user": user.name},
    )
