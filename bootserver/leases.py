"""Which address a machine gets: subnets, pools, reservations and leases. Pure but for its store.

The allocator keeps all leases in memory and writes each confirmed one through to a `LeaseStore`
before the caller may acknowledge it. A machine is its MAC address: firmware, iPXE and the operating
system send different client identifiers and must not take three addresses. Times are seconds since
the epoch, given by the caller.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol
from zlib import crc32

OFFER_HOLD_S = 60.0
"""How long an offered address waits for its REQUEST."""
DECLINE_HOLD_S = 600.0
"""How long an address that a client found in use stays out of the pool."""


@dataclass(frozen=True)
class Pool:
    """Addresses given to machines without a reservation, both ends included."""

    first: IPv4Address
    last: IPv4Address

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"pool {self.first}-{self.last} ends before it starts")

    def __contains__(self, address: IPv4Address) -> bool:
        return self.first <= address <= self.last

    def __len__(self) -> int:
        return int(self.last) - int(self.first) + 1


@dataclass(frozen=True)
class Subnet:
    """One network the server gives addresses in, and what it tells every machine there.

    `authoritative`: no other DHCP server serves it, so a wrong address is refused at once.
    """

    network: IPv4Network
    pools: tuple[Pool, ...] = ()
    router: IPv4Address | None = None
    dns_servers: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    lease_s: int = 3600
    authoritative: bool = True

    def __post_init__(self) -> None:
        for pool in self.pools:
            if pool.first not in self.network or pool.last not in self.network:
                raise ValueError(f"pool {pool.first}-{pool.last} is not inside {self.network}")
        if self.lease_s < 60:
            raise ValueError(f"a lease of {self.lease_s} s is too short: 60 s at least")

    def assignable(self, address: IPv4Address) -> bool:
        """A host address of this network (neither network nor broadcast address, nor router)."""
        edges = (self.network.network_address, self.network.broadcast_address)
        inside = address in self.network and address != self.router
        return inside and (self.network.prefixlen > 30 or address not in edges)


@dataclass(frozen=True)
class Reservation:
    """A fixed address and, if known, a name for one MAC address (lower case, colons)."""

    mac: str
    address: IPv4Address
    hostname: str | None = None


@dataclass(frozen=True)
class Lease:
    """`mac` may use `address` until `expires` (seconds since the epoch)."""

    mac: str
    address: IPv4Address
    expires: float
    hostname: str | None = None


class LeaseStore(Protocol):
    """Where confirmed leases survive a restart. Each call is durable when it returns."""

    def load(self) -> Iterable[Lease]:
        """All stored leases, expired ones too (a machine gets its old address back)."""
        ...

    def save(self, lease: Lease) -> None:
        """Insert the lease, replacing any other of its address and any other of its MAC."""
        ...

    def remove(self, address: IPv4Address) -> None:
        """Forget the lease of this address, if any."""
        ...


@dataclass
class Allocator:
    """Offers and confirms addresses. Safe to use from several threads.

    `taken` are addresses that nobody may get: the server's own.
    """

    subnets: tuple[Subnet, ...]
    store: LeaseStore
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    taken: frozenset[IPv4Address] = frozenset()

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._by_address: dict[IPv4Address, Lease] = {}
        self._by_mac: dict[str, Lease] = {}
        self._declined: dict[IPv4Address, float] = {}
        self._held: set[str] = set()
        self._full_until: dict[IPv4Network, float] = {}
        self._reserved = {one.address: one.mac for one in self.reservations.values()}
        for lease in self.store.load():
            self._remember(lease)

    def subnet(self, link: IPv4Address) -> Subnet | None:
        """The subnet that holds `link`: the relay's, the interface's or the client's address."""
        return next((one for one in self.subnets if link in one.network), None)

    def reserve(self, reservations: Iterable[Reservation]) -> None:
        """Replace all reservations. Leases already given stay until they end."""
        with self._lock:
            self.reservations = {one.mac: one for one in reservations}
            self._reserved = {one.address: one.mac for one in self.reservations.values()}
            self._full_until.clear()

    def offer(
        self, mac: str, requested: IPv4Address | None, link: IPv4Address, now: float
    ) -> Lease | None:
        """The lease this machine would get on `link`, held for a minute; None: nothing is free.

        In this order: its reservation, its last address, the one it asks for, a free one of the
        pools (found by the hash of its MAC, so it tends to be the same again).
        """
        with self._lock:
            subnet = self.subnet(link)
            address = self._choose(subnet, mac, requested, now) if subnet else None
            if subnet is None or address is None:
                return None
            current = self._by_mac.get(mac)
            if current is None or current.address != address or current.expires <= now:
                self._remember(Lease(mac, address, now + OFFER_HOLD_S, self._hostname(mac)))
                self._held.add(mac)
            return Lease(mac, address, now + subnet.lease_s, self._hostname(mac))

    def confirm(
        self, mac: str, address: IPv4Address, link: IPv4Address, now: float
    ) -> Lease | None:
        """Lease `address` to `mac` and store it; None when it may not have this address."""
        with self._lock:
            subnet = self.subnet(link)
            if subnet is None or not self._may_have(subnet, mac, address, now):
                return None
            lease = Lease(mac, address, now + subnet.lease_s, self._hostname(mac))
            self.store.save(lease)
            self._remember(lease)
            return lease

    def knows(self, mac: str) -> bool:
        """Whether this machine has or had a lease, or has a reservation."""
        with self._lock:
            return mac in self._by_mac or mac in self.reservations

    def release(self, mac: str, address: IPv4Address, now: float) -> bool:
        """End the lease, remembering whose address it was; False when it isn't this machine's."""
        with self._lock:
            lease = self._by_mac.get(mac)
            if lease is None or lease.address != address:
                return False
            ended = Lease(mac, address, now, lease.hostname)
            self.store.save(ended)
            self._remember(ended)
            self._full_until.clear()
            return True

    def withdraw(self, mac: str) -> None:
        """The machine took another server's offer: free what was held for it but never leased."""
        with self._lock:
            lease = self._by_mac.get(mac)
            if lease is not None and mac in self._held:
                self._forget(lease)
                self._full_until.clear()

    def decline(self, mac: str, address: IPv4Address, now: float) -> bool:
        """Somebody else answers on this address: keep it out of use for ten minutes."""
        with self._lock:
            lease = self._by_mac.get(mac)
            if lease is None or lease.address != address:
                return False
            self.store.remove(address)
            self._forget(lease)
            self._declined[address] = now + DECLINE_HOLD_S
            return True

    def active(self, now: float) -> tuple[Lease, ...]:
        """Leases and held offers in force, by address."""
        with self._lock:
            leases = [lease for lease in self._by_address.values() if lease.expires > now]
        return tuple(sorted(leases, key=lambda lease: lease.address))

    def _choose(
        self, subnet: Subnet, mac: str, requested: IPv4Address | None, now: float
    ) -> IPv4Address | None:
        reserved = self.reservations.get(mac)
        if reserved is not None and self._may_have(subnet, mac, reserved.address, now):
            return reserved.address
        previous = self._by_mac.get(mac)
        for address in (previous.address if previous else None, requested):
            if address is not None and self._may_have(subnet, mac, address, now):
                return address
        return self._search(subnet, mac, now)

    def _may_have(self, subnet: Subnet, mac: str, address: IPv4Address, now: float) -> bool:
        if address in self.taken or not subnet.assignable(address):
            return False
        reserved = self.reservations.get(mac)
        if reserved is not None and reserved.address in subnet.network:
            return address == reserved.address and self._free(mac, address, now)
        if self._reserved.get(address, mac) != mac:
            return False
        return any(address in pool for pool in subnet.pools) and self._free(mac, address, now)

    def _free(self, mac: str, address: IPv4Address, now: float) -> bool:
        if self._declined.get(address, now) > now:
            return False
        lease = self._by_address.get(address)
        return lease is None or lease.mac == mac or lease.expires <= now

    def _search(self, subnet: Subnet, mac: str, now: float) -> IPv4Address | None:
        """A free address: one never used before any other whose lease ended."""
        if now < self._full_until.get(subnet.network, now):
            return None
        used_before: IPv4Address | None = None
        for address in _addresses(subnet.pools, crc32(mac.encode())):
            if not self._may_have(subnet, mac, address, now):
                continue
            if address not in self._by_address:
                return address
            used_before = used_before or address
        if used_before is None:
            self._full_until[subnet.network] = self._next_end(now)
        return used_before

    def _next_end(self, now: float) -> float:
        """When the next lease, offer or declined address comes free."""
        ends = [lease.expires for lease in self._by_address.values()]
        ends += self._declined.values()
        return min((end for end in ends if end > now), default=now + OFFER_HOLD_S)

    def _hostname(self, mac: str) -> str | None:
        reservation = self.reservations.get(mac)
        return reservation.hostname if reservation else None

    def _remember(self, lease: Lease) -> None:
        for other in (self._by_mac.get(lease.mac), self._by_address.get(lease.address)):
            if other is not None:
                self._forget(other)
        self._held.discard(lease.mac)
        self._by_mac[lease.mac] = lease
        self._by_address[lease.address] = lease

    def _forget(self, lease: Lease) -> None:
        self._held.discard(lease.mac)
        if self._by_mac.get(lease.mac) == lease:
            del self._by_mac[lease.mac]
        if self._by_address.get(lease.address) == lease:
            del self._by_address[lease.address]


def _addresses(pools: tuple[Pool, ...], start: int) -> Iterator[IPv4Address]:
    """Every address of the pools once, beginning at `start` modulo their size."""
    total = sum(map(len, pools))
    for index in range(total):
        position = (start + index) % total
        for pool in pools:
            if position < len(pool):
                yield pool.first + position
                break
            position -= len(pool)
