"""Who gets which address, for how long, and what survives a restart."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootserver.leases import (
    DECLINE_HOLD_S,
    OFFER_HOLD_S,
    Allocator,
    Lease,
    Pool,
    Reservation,
    Subnet,
)
from tests.kit.dhcp import NETWORK, POOL, SERVER, SUBNET, MemoryStore

A, B, C = (f"52:54:00:00:00:0{number}" for number in (1, 2, 3))
LINK = SERVER
FIRST = POOL.first


def allocator(
    store: MemoryStore | None = None, *reservations: Reservation, subnet: Subnet = SUBNET
) -> Allocator:
    found = {one.mac: one for one in reservations}
    return Allocator((subnet,), store or MemoryStore(), found, frozenset({SERVER}))


def lease(books: Allocator, mac: str, now: float = 0.0) -> IPv4Address:
    """The address `mac` gets by offer and confirmation."""
    offered = books.offer(mac, None, LINK, now)
    assert offered is not None
    confirmed = books.confirm(mac, offered.address, LINK, now)
    assert confirmed is not None
    assert confirmed.address == offered.address
    return confirmed.address


def test_an_offer_names_the_whole_lease_and_stores_nothing() -> None:
    store = MemoryStore()
    offered = allocator(store).offer(A, None, LINK, 10.0)
    assert offered is not None
    assert offered.address in POOL
    assert offered.expires == 10.0 + SUBNET.lease_s
    assert store.leases == {}


def test_a_confirmed_lease_is_stored_before_it_is_returned() -> None:
    store = MemoryStore()
    address = lease(allocator(store), A)
    assert store.leases == {address: Lease(A, address, SUBNET.lease_s)}


def test_a_machine_gets_its_address_again_after_a_restart() -> None:
    store = MemoryStore()
    address = lease(allocator(store), A)
    again = allocator(store).offer(A, None, LINK, 10 * SUBNET.lease_s)
    assert again is not None
    assert again.address == address


def test_two_machines_never_share_an_address() -> None:
    books = allocator()
    assert len({lease(books, mac) for mac in (A, B, C)}) == 3


def test_a_free_requested_address_is_granted() -> None:
    offered = allocator().offer(A, POOL.last, LINK, 0)
    assert offered is not None
    assert offered.address == POOL.last


def test_a_requested_address_of_somebody_else_is_not_granted() -> None:
    books = allocator()
    taken = lease(books, A)
    offered = books.offer(B, taken, LINK, 0)
    assert offered is not None
    assert offered.address != taken
    assert books.confirm(B, taken, LINK, 0) is None


@pytest.mark.parametrize("address", ["10.77.0.99", "10.99.0.1", "10.77.0.1", "10.77.0.255"])
def test_an_address_outside_the_pools_is_not_confirmed(address: str) -> None:
    assert allocator().confirm(A, IPv4Address(address), LINK, 0) is None


def test_a_full_pool_offers_nothing_until_a_lease_ends() -> None:
    books = allocator()
    for number in range(len(POOL)):
        lease(books, f"52:54:00:00:01:0{number}")
    assert books.offer(A, None, LINK, 1.0) is None
    assert books.offer(A, None, LINK, SUBNET.lease_s - 1) is None
    assert books.offer(A, None, LINK, SUBNET.lease_s + 1) is not None


def test_a_release_frees_an_address_of_a_full_pool_at_once() -> None:
    books = allocator()
    macs = [f"52:54:00:00:01:0{number}" for number in range(len(POOL))]
    addresses = [lease(books, mac) for mac in macs]
    assert books.offer(A, None, LINK, 1.0) is None
    assert books.release(macs[0], addresses[0], 2.0)
    offered = books.offer(A, None, LINK, 3.0)
    assert offered is not None
    assert offered.address == addresses[0]


def test_a_released_address_goes_to_its_machine_again() -> None:
    books = allocator()
    address = lease(books, A)
    books.release(A, address, 1.0)
    assert lease(books, B, 2.0) != address
    assert lease(books, A, 3.0) == address


def test_nobody_releases_or_declines_anothers_lease() -> None:
    books = allocator()
    address = lease(books, A)
    assert not books.release(B, address, 1.0)
    assert not books.decline(B, address, 1.0)
    assert [one.mac for one in books.active(2.0)] == [A]


def test_an_unconfirmed_offer_lapses() -> None:
    books = allocator()
    books.offer(A, FIRST, LINK, 0.0)
    assert books.confirm(B, FIRST, LINK, OFFER_HOLD_S - 1) is None
    assert books.confirm(B, FIRST, LINK, OFFER_HOLD_S + 1) is not None


def test_a_withdrawn_offer_is_free_but_a_lease_is_kept() -> None:
    books = allocator()
    books.offer(A, FIRST, LINK, 0.0)
    books.withdraw(A)
    assert books.confirm(B, FIRST, LINK, 1.0) is not None
    books.withdraw(B)
    assert [one.mac for one in books.active(2.0)] == [B]


def test_a_declined_address_stays_out_of_use_for_a_while() -> None:
    store = MemoryStore()
    books = allocator(store)
    address = lease(books, A)
    assert books.decline(A, address, 0.0)
    assert store.leases == {}
    assert lease(books, A, 1.0) != address
    assert books.confirm(B, address, LINK, 2.0) is None
    assert books.confirm(B, address, LINK, DECLINE_HOLD_S + 1) is not None


def test_a_reservation_is_the_only_address_of_its_machine() -> None:
    fixed = Reservation(A, IPv4Address("10.77.0.7"), "node1")
    books = allocator(None, fixed)
    assert lease(books, A) == fixed.address
    assert books.confirm(A, FIRST, LINK, 0) is None
    assert [one.hostname for one in books.active(1.0)] == ["node1"]


def test_a_reserved_address_of_a_pool_goes_to_nobody_else() -> None:
    books = allocator(None, Reservation(A, FIRST))
    others = {lease(books, f"52:54:00:00:01:0{number}") for number in range(len(POOL) - 1)}
    assert FIRST not in others
    assert books.offer(C, None, LINK, 0) is None
    assert lease(books, A) == FIRST


def test_a_new_reservation_counts_at_once() -> None:
    books = allocator()
    lease(books, A)
    books.reserve([Reservation(A, IPv4Address("10.77.0.9"))])
    assert lease(books, A, 1.0) == IPv4Address("10.77.0.9")


def test_the_link_decides_the_subnet() -> None:
    far = Subnet(
        IPv4Network("10.88.0.0/16"),
        (Pool(IPv4Address("10.88.4.1"), IPv4Address("10.88.4.9")),),
    )
    books = Allocator((SUBNET, far), MemoryStore())
    near, there = (books.offer(A, None, IPv4Address(link), 0) for link in (SERVER, "10.88.0.1"))
    assert near is not None
    assert there is not None
    assert near.address in NETWORK
    assert there.address in far.network
    assert books.offer(A, None, IPv4Address("192.0.2.1"), 0) is None


def test_several_pools_are_used_to_the_last_address() -> None:
    pools = tuple(
        Pool(IPv4Address(f"10.77.0.{n}"), IPv4Address(f"10.77.0.{n + 1}")) for n in (5, 9)
    )
    books = allocator(subnet=Subnet(NETWORK, pools))
    got = {lease(books, f"52:54:00:00:01:0{number}") for number in range(4)}
    assert sorted(str(one).rpartition(".")[2] for one in got) == ["10", "5", "6", "9"]


def test_impossible_subnets_and_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="ends before"):
        Pool(POOL.last, POOL.first)
    with pytest.raises(ValueError, match="not inside"):
        Subnet(IPv4Network("10.88.0.0/24"), (POOL,))
    with pytest.raises(ValueError, match="too short"):
        Subnet(NETWORK, (POOL,), lease_s=10)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "confirm", "release", "decline", "withdraw"]),
        st.integers(0, 5),
        st.integers(0, len(POOL) - 1),
        st.floats(0, 5000),
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_no_address_has_two_holders(
    events: list[tuple[str, int, int, float]],
) -> None:
    store = MemoryStore()
    books = allocator(store)
    now = 0.0
    for what, who, where, elapsed in events:
        now += elapsed
        mac, address = f"52:54:00:00:00:0{who}", POOL.first + where
        match what:
            case "offer":
                books.offer(mac, address, LINK, now)
            case "confirm":
                books.confirm(mac, address, LINK, now)
            case "release":
                books.release(mac, address, now)
            case "decline":
                books.decline(mac, address, now)
            case _:
                books.withdraw(mac)
        active = books.active(now)
        assert len({one.address for one in active}) == len({one.mac for one in active})
        stored = [one for one in store.leases.values() if one.expires > now]
        assert len({one.mac for one in stored}) == len(stored)
        held = {one.address: one.mac for one in active}
        assert all(held[one.address] == one.mac for one in stored if one.address in held)
