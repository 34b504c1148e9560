"""The basics of the target OS: host name, users, who may log in over SSH."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from agent.api.osconfig import SshMode, User
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import accounts, files

MACHINE_ID = Path("etc/machine-id")
HOSTNAME = Path("etc/hostname")
SSHD_CONFIG = Path("etc/ssh/sshd_config")
SSHD_USERS = Path("etc/ssh/sshd_config.d/global_user.conf")
_INCLUDE = "Include /etc/ssh/sshd_config.d/*.conf"
_ROOT_LOGIN = {
    SshMode.BLOCK: "no",
    SshMode.KEY_ONLY: "prohibit-password",
    SshMode.DANGEROUS_ALLOW_PASSWORD: "yes",
}

log = logging.getLogger(__name__)


class OsConfig:
    """Configures accounts and the host name inside the newroot."""

    name = "os-config"

    def tools(self, context: Context) -> Sequence[str]:
        return ("chroot",) if context.configuration.os.users else ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the host."""

    def stage(self, context: Context) -> Sequence[Step]:
        os = context.configuration.os
        steps = list(_identity(context))
        if os.users:
            names = ", ".join(user.name for user in os.users)
            steps.append(
                Step(
                    "os-config/users",
                    Phase.CONFIGURE,
                    f"setting up the users {names}",
                    _set_up_users,
                    tuple(Effect(Verb.CHANGE, f"user {user.name}") for user in os.users),
                )
            )
        if os.hostname is not None:
            steps.append(
                Step(
                    "os-config/hostname",
                    Phase.CONFIGURE,
                    f"setting the host name {os.hostname}",
                    _set_hostname,
                    (Effect(Verb.WRITE, "/etc/hostname"),),
                )
            )
        return steps

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()


def carried_over(context: Context) -> tuple[Path, ...]:
    """The files that make an updated system the host it was: machine-id, and the host name when the
    configuration sets none. Relative to a root. Pure.
    """
    if context.servicing is not ServicingType.AB_UPDATE:
        return ()
    keeps_hostname = context.configuration.os.hostname is None
    if keeps_hostname and not context.configuration.internal_params.disable_hostname_carry_over:
        return (MACHINE_ID, HOSTNAME)
    return (MACHINE_ID,)


def sshd_users(users: Sequence[User]) -> str:
    """The sshd configuration that holds `users` to their sshMode. Pure."""
    lines = ["# Written by Trident from os.users of the Host Configuration."]
    root = next((user for user in users if user.name == "root"), None)
    others = [user for user in users if user.name != "root"]
    if root is not None:
        lines.append(f"PermitRootLogin {_ROOT_LOGIN[root.ssh_mode]}")
    blocked = [user.name for user in others if user.ssh_mode is SshMode.BLOCK]
    if blocked:
        lines.append(f"DenyUsers {' '.join(blocked)}")
    for user in others:
        if user.ssh_mode is not SshMode.BLOCK:
            allowed = "yes" if user.ssh_mode is SshMode.DANGEROUS_ALLOW_PASSWORD else "no"
            lines += [
                f"Match User {user.name}",
                f"    PasswordAuthentication {allowed}",
                f"    KbdInteractiveAuthentication {allowed}",
            ]
    return "\n".join([*lines, "Match all"]) + "\n"


def with_include(config: str) -> str:
    """The text of sshd_config, reading the drop-in directory first. Pure; idempotent."""
    lines = (line.strip() for line in config.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return config if first == _INCLUDE else f"{_INCLUDE}\n{config}"


def _identity(context: Context) -> Iterator[Step]:
    carried = carried_over(context)
    if carried:
        yield Step(
            "os-config/identity",
            Phase.CONFIGURE,
            "carrying over who this host is",
            partial(_carry_over, carried),
            tuple(Effect(Verb.WRITE, f"/{path}") for path in carried),
        )


def _carry_over(carried: Sequence[Path], context: Context) -> None:
    for path in carried:
        source = Path("/") / path
        if source.is_file():
            files.write(
                context.newroot / path, source.read_bytes(), mode=source.stat().st_mode & 0o777
            )


def _set_up_users(context: Context) -> None:
    users = context.configuration.os.users
    for user in users:
        accounts.ensure(context.newroot, user)
    config = context.newroot / SSHD_CONFIG
    if not config.exists():
        log.warning("the target has no /%s: sshMode of its users has no effect", SSHD_CONFIG)
        return
    text = config.read_text()
    if with_include(text) != text:
        files.write(config, with_include(text), mode=config.stat().st_mode & 0o777)
    drop_in = context.newroot / SSHD_USERS
    drop_in.parent.mkdir(mode=0o755, exist_ok=True)
    files.write(drop_in, sshd_users(users), mode=0o600)


def _set_hostname(context: Context) -> None:
    hostname = context.configuration.os.hostname or ""
    files.write(context.newroot / HOSTNAME, hostname + "\n", mode=0o644)
