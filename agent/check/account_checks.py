"""Rules about users that upstream lacks: what useradd, chpasswd or sshd would choke on later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from agent.api.osconfig import HashedPassword, PlainTextPassword, User
from agent.api.yamltext import Path
from agent.check.findings import Finding

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f:]")
_BREAK: Final = re.compile(r"[\x00\r\n]")


def check(users: tuple[User, ...], path: Path) -> Iterator[Finding]:
    """`path` is that of the list."""
    uids: dict[int, str] = {}
    for index, user in enumerate(users):
        here: Path = (*path, index)
        yield from _name(user, here)
        yield from _groups(user, here)
        yield from _places(user, here)
        yield from _password(user, here)
        if user.uid is None:
            continue
        if user.uid < 0:
            yield Finding("invalid-user-id", f"no user has the uid {user.uid}", (*here, "uid"))
        elif user.uid in uids:
            yield Finding(
                "duplicate-user-id",
                f"'{user.name}' has the uid of '{uids[user.uid]}'",
                (*here, "uid"),
                "give each user a uid of its own",
            )
        uids.setdefault(user.uid, user.name)


def _name(user: User, path: Path) -> Iterator[Finding]:
    if not _NAME.fullmatch(user.name):
        yield Finding(
            "invalid-user-name",
            f"'{user.name}' is not a user name",
            (*path, "name"),
            "use up to 32 letters, digits, underscores, hyphens and dots",
        )


def _groups(user: User, path: Path) -> Iterator[Finding]:
    named: list[tuple[str, Path]] = [
        (group, (*path, "secondaryGroups", index))
        for index, group in enumerate(user.secondary_groups)
    ]
    if user.primary_group is not None:
        named.append((user.primary_group, (*path, "primaryGroup")))
    for group, where in named:
        if not _NAME.fullmatch(group):
            yield Finding(
                "invalid-group-name",
                f"'{group}' is not the name of a group",
                where,
                "name groups that the image has",
            )


def _places(user: User, path: Path) -> Iterator[Finding]:
    for key, value in (
        ("homeDirectory", user.home_directory),
        ("startupCommand", user.startup_command),
    ):
        if value is not None and (_UNFIT.search(value) or not PurePosixPath(value).is_absolute()):
            yield Finding(
                "invalid-user-path",
                f"'{value}' is no absolute path that /etc/passwd can hold",
                (*path, key),
                "write the whole path, without colons and arguments",
            )


def _password(user: User, path: Path) -> Iterator[Finding]:
    unfit = _BREAK if isinstance(user.password, PlainTextPassword) else _UNFIT
    if isinstance(user.password, PlainTextPassword | HashedPassword) and unfit.search(
        user.password.value
    ):
        yield Finding(
            "invalid-password",
            f"the password of '{user.name}' has characters that none can have",
            (*path, "password", "value"),
            "write it in one line; a hash has no colons",
        )
