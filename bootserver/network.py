"""The process of the network services: DHCP, TFTP and DNS, one thread each, and the journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from agent.api.errors import TridentError
from bootserver.boot.machine import Answer, Machine
from bootserver.dhcp.exchange import DhcpEvent
from bootserver.dhcp.server import DhcpServer
from bootserver.dns.server import DnsServer
from bootserver.dns.zone import Zone
from bootserver.lease_store import DatabaseLeases
from bootserver.leases import Allocator, Pool, Reservation, Subnet
from bootserver.reports.journal import Journal
from bootserver.services import Services
from bootserver.settings import DhcpMode, Settings, SubnetSettings
from bootserver.tftp import content
from bootserver.tftp.server import Limits, TftpServer

_LOG = logging.getLogger(__name__)
_REFRESH_EVERY_S = 2.0

Service = Callable[[threading.Event], None]


@dataclass(frozen=True)
class DhcpPolicy:
    """What the DHCP server asks: the boot decision, the addresses, where events go."""

    allocator: Allocator | None
    decide: Callable[[Machine], Answer]
    record: Callable[[DhcpEvent], None]

    def answer(self, machine: Machine) -> Answer:
        """The boot decision."""
        return self.decide(machine)

    def observe(self, event: DhcpEvent) -> None:
        """Hand the event to the journal."""
        self.record(event)


class NetworkServices:
    """Opens all sockets when made; `run` serves until told to stop."""

    def __init__(self, services: Services) -> None:
        """Raises dhcp-port-unavailable, tftp-port-unavailable and the like."""
        settings = services.settings
        self._services = services
        self._journal = Journal(services.store, services.hosts, services.observer)
        self._allocator = _allocator(services)
        self._services_by_name: dict[str, Service] = {}
        if settings.dhcp.mode is not DhcpMode.OFF and settings.interface is not None:
            self._services_by_name["dhcp"] = self._dhcp(settings, settings.interface).run
        self._services_by_name["tftp"] = self._tftp(settings).run
        self._zone = zone_of(services)
        if settings.dns.enabled:
            dns = DnsServer(settings.address, settings.dns.port, lambda: self._zone)
            self._services_by_name["dns"] = dns.run

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set, then write out the journal."""
        journal = threading.Thread(target=self._journal.run, name="journal")
        journal.start()
        threads = [
            threading.Thread(target=serve, args=(stop,), name=name)
            for name, serve in self._services_by_name.items()
        ]
        for thread in threads:
            thread.start()
        while not stop.wait(_REFRESH_EVERY_S):
            self._refresh()
            if dead := [thread.name for thread in threads if not thread.is_alive()]:
                _LOG.critical("the %s service ended by itself", ", ".join(dead))
                stop.set()
        for thread in threads:
            thread.join()
        self._journal.close()
        journal.join()

    def _dhcp(self, settings: Settings, interface: str) -> DhcpServer:
        policy = DhcpPolicy(self._allocator, self._services.policy.answer, self._journal.add)
        ports = (settings.dhcp.port, settings.dhcp.pxe_port)
        return DhcpServer(interface, settings.address, policy, ports)

    def _tftp(self, settings: Settings) -> TftpServer:
        tftp = settings.tftp
        limits = Limits(
            tftp.max_transfers,
            tftp.max_transfers_per_client,
            tftp.max_block_size,
            tftp.max_window_size,
        )
        return TftpServer(settings.address, tftp.port, self._resolve, self._journal.add, limits)

    def _resolve(self, name: str, _client: str) -> bytes | Path | None:
        """What a TFTP client gets: a GRUB config made for it, or a file of the artefacts."""
        try:
            config = self._services.scripts.grub_file(name)
        except TridentError as error:
            _LOG.error("no GRUB config %s: %s", name, error.one_line())
            return None
        if config is not None:
            return config.encode()
        return content.under(self._services.settings.artifacts, name)

    def _refresh(self) -> None:
        """Bring names and reservations up to date with the declarations."""
        self._zone = zone_of(self._services)
        if self._allocator is not None:
            self._allocator.reserve(_reservations(self._services))


def _allocator(services: Services) -> Allocator | None:
    settings = services.settings
    if settings.dhcp.mode is not DhcpMode.SERVER:
        return None
    return Allocator(
        tuple(_subnet(one) for one in settings.dhcp.subnets),
        DatabaseLeases(services.database),
        {one.mac: one for one in _reservations(services)},
        frozenset({settings.address}),
    )


def _reservations(services: Services) -> list[Reservation]:
    return [
        Reservation(one.mac, one.address, one.name)
        for one in services.hosts.declarations()
        if one.address is not None
    ]


def zone_of(services: Services) -> Zone:
    """The names of the declared machines, with their reserved or last seen addresses."""
    settings = services.settings
    records = {record.mac: record for record in services.store.records()}
    hosts: dict[str, IPv4Address] = {}
    for declaration in services.hosts.declarations():
        record = records.get(declaration.mac)
        address = declaration.address
        if address is None and record is not None and record.address is not None:
            address = IPv4Address(record.address)
        if declaration.name is not None and address is not None:
            hosts[declaration.name.removesuffix(f".{settings.dns.domain}")] = address
    networks = tuple(subnet.network for subnet in settings.dhcp.subnets)
    return Zone(settings.dns.domain, settings.address, hosts, networks)


def _subnet(settings: SubnetSettings) -> Subnet:
    first, last = settings.range
    dns: tuple[IPv4Address, ...] = settings.dns
    return Subnet(
        settings.network,
        (Pool(first, last),),
        settings.router,
        dns,
        settings.domain,
        settings.lease_seconds,
    )
