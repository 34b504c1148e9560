"""Answers boot requests: looks up what is known of a machine and asks `decide`."""

from __future__ import annotations

from collections.abc import Callable

from agent.api.errors import TridentError
from bootserver.boot.artifacts import Artifacts
from bootserver.boot.decide import Subject, decide
from bootserver.boot.machine import Answer, Ignore, Machine
from bootserver.hosts import Host, Hosts
from bootserver.reports.state import Record
from bootserver.settings import Loader
from bootserver.store import Store


def subject(host: Host | None, record: Record | None, granted: bool) -> Subject:
    """What the boot decision needs to know."""
    return Subject(
        declared=host is not None,
        loader=host.loader if host else Loader.IPXE,
        problem=host.problem if host else None,
        installed=record.installed if record else False,
        reinstall=granted,
    )


class BootPolicy:
    """The boot decision with everything it looks at."""

    def __init__(
        self, hosts: Hosts, store: Store, artifacts: Callable[[], Artifacts], base_url: str
    ) -> None:
        self._hosts = hosts
        self._store = store
        self._artifacts = artifacts
        self._base_url = base_url

    def answer(self, machine: Machine) -> Answer:
        """What the machine is told. Reads only."""
        if not machine.is_pxe:
            return Ignore("does not ask to boot from the network")
        try:
            artifacts = self._artifacts()
        except TridentError as error:
            return Ignore(error.message)
        host, record, granted = self.known(machine.mac)
        return decide(
            machine,
            subject(host, record, granted),
            artifacts.present,
            artifacts.architecture,
            self._base_url,
        )

    def known(self, mac: str) -> tuple[Host | None, Record | None, bool]:
        """The declared machine, what is remembered of it, and whether a reinstall is granted."""
        record, granted = self._store.standing(mac)
        return self._hosts.find(mac, record), record, granted
