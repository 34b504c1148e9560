"""The servicing system while it installs: its users, so that somebody can look in over SSH.

Its network is `trident start-network`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from agent.api.errors import TridentError
from agent.api.osconfig import SshMode
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import accounts, sshd

NO_LOGIN = Path("run/nologin")
"""While it is there, nobody but root can log in; a servicing system may boot no further."""

log = logging.getLogger(__name__)


class ManagementOs:
    """Makes managementOs.users in the running system, at a clean install."""

    name = "mos-config"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def tools(self, context: Context) -> Sequence[str]:
        return accounts.TOOLS_IN_TARGET if _users_wanted(context) else ()

    def validate(self, _: Context) -> None:
        """Whether the users can be made shows when they are, before anything is destroyed."""

    def stage(self, context: Context) -> Sequence[Step]:
        if not _users_wanted(context):
            return ()
        users = context.configuration.management_os.users
        return (
            Step(
                "mos-config/users",
                Phase.PREPARE,
                "setting up users of the servicing system",
                self._set_up_users,
                tuple(Effect(Verb.CHANGE, f"user {u.name} of this system") for u in users),
            ),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()

    def _set_up_users(self, context: Context) -> None:
        users = context.configuration.management_os.users
        for user in users:
            accounts.ensure(self._root, user)
        (self._root / NO_LOGIN).unlink(missing_ok=True)
        if all(user.ssh_mode is SshMode.BLOCK for user in users):
            return
        if not sshd.configure(self._root, users, "managementOs.users"):
            log.warning("this system has no sshd: nobody can log in to it over SSH")
            return
        try:
            sshd.restart(self._root)
        except TridentError as error:
            log.warning("sshd could not be restarted: %s", error.message)


def _users_wanted(context: Context) -> bool:
    installs = context.servicing is ServicingType.CLEAN_INSTALL
    return installs and bool(context.configuration.management_os.users)
