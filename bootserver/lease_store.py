"""Keeps confirmed DHCP leases in the boot server's database."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from sqlalchemy import delete, insert, or_, select

from bootserver.database import LEASES, Database
from bootserver.leases import Lease


class DatabaseLeases:
    """A `LeaseStore`: each call is durable when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> Iterable[Lease]:
        """All stored leases, ended ones too."""
        with self._database.reading() as connection:
            rows = connection.execute(select(LEASES)).all()
        return [Lease(row.mac, IPv4Address(row.address), row.expires, row.hostname) for row in rows]

    def save(self, lease: Lease) -> None:
        """Insert the lease in place of any other of its address or MAC."""
        address = str(lease.address)
        same = or_(LEASES.c.address == address, LEASES.c.mac == lease.mac)
        row = {
            "address": address,
            "mac": lease.mac,
            "expires": lease.expires,
            "hostname": lease.hostname,
        }
        with self._database.writing() as connection:
            connection.execute(delete(LEASES).where(same))
            connection.execute(insert(LEASES).values(row))

    def remove(self, address: IPv4Address) -> None:
        """Forget the lease of this address, if any."""
        with self._database.writing() as connection:
            connection.execute(delete(LEASES).where(LEASES.c.address == str(address)))
