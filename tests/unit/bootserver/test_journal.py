"""What DHCP and TFTP see arrives in the timelines of the machines it belongs to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootserver.dhcp.exchange import DhcpEvent
from bootserver.http.files import Served
from bootserver.reports import neighbors
from bootserver.reports.journal import Journal
from bootserver.reports.observer import Observer
from bootserver.reports.state import Seen, State
from bootserver.services import Services
from bootserver.settings import load
from bootserver.tftp.session import TftpEvent
from tests.kit.bootserver import MAC, OTHER_MAC, write_settings

FIRMWARE = {"vendorClass": "PXEClient:Arch:00007", "architecture": "efi-x86_64", "uuid": "u"}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    opened = Services.open(load(write_settings(tmp_path)))
    yield opened
    opened.database.close()


def record(services: Services, *events: DhcpEvent | TftpEvent) -> None:
    """Write events as the network process does."""
    journal = Journal(services.store, services.hosts, services.observer)
    thread = threading.Thread(target=journal.run)
    thread.start()
    for event in events:
        journal.add(event)
    journal.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_boot_is_recorded_with_what_the_machine_says(services: Services) -> None:
    record(
        services,
        DhcpEvent("discover", MAC, 0xABC, FIRMWARE),
        DhcpEvent("ack", MAC, 0xABC, {"address": "192.0.2.7", "boot": "x86_64/snponly.efi"}),
        TftpEvent("read", "192.0.2.7", "x86_64/snponly.efi", {"bytes": 5}),
    )
    machine = services.store.record(MAC)
    assert machine is not None
    assert (machine.architecture, machine.uuid) == ("efi-x86_64", "u")
    assert machine.address == "192.0.2.7"
    assert machine.state is State.BOOTING
    entries = services.store.timeline(MAC)
    assert [one.event for one in entries] == ["discover", "ack", "read"]
    assert entries[0].detail["xid"] == "00000abc"
    assert entries[2].detail == {"file": "x86_64/snponly.efi", "bytes": 5}


def test_an_ipxe_script_alone_is_no_sign_of_an_install(services: Services) -> None:
    script = {"address": "192.0.2.7", "boot": f"http://x/ipxe/{MAC}"}
    record(services, DhcpEvent("discover", MAC, 1, {"ipxe": 1}), DhcpEvent("ack", MAC, 1, script))
    machine = services.store.record(MAC)
    assert machine is not None
    assert machine.state is State.NEW


def test_a_stranger_that_only_wants_an_address_is_not_recorded(services: Services) -> None:
    record(
        services,
        DhcpEvent("discover", OTHER_MAC, 1, {"vendorClass": "android-dhcp-14", "ipxe": False}),
        TftpEvent("read", "192.0.2.99", "vmlinuz"),
    )
    assert services.store.records() == []


def test_an_unknown_machine_that_boots_is_recorded(services: Services) -> None:
    record(
        services,
        DhcpEvent("discover", OTHER_MAC, 1, FIRMWARE),
        DhcpEvent("ignored", OTHER_MAC, 1, {"why": "not declared"}),
    )
    assert [one.event for one in services.store.timeline(OTHER_MAC)] == ["discover", "ignored"]


def served(path: str, start: int = 0, method: str = "GET") -> Served:
    return Served(method, "192.0.2.7", "files", path, 206, start, 10)


def test_fetches_are_noted_up_to_a_bound(services: Services) -> None:
    services.store.apply(MAC, (Seen(address="192.0.2.7"),))
    observer = Observer(services.store)
    observer.served(served("os.cosi", method="HEAD"))
    for number in range(100):
        observer.served(served("os.cosi", number))
    observer.served(served("other.cosi"))
    entries = services.store.timeline(MAC)
    assert [one.detail["start"] for one in entries[:-1]] == list(range(64))
    assert entries[-1].detail["path"] == "/files/other.cosi"


ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.7        0x1         0x2         52:54:00:AA:BB:CC     *        br0
192.0.2.8        0x1         0x0         00:00:00:00:00:00     *        br0
short
"""


def test_neighbours_are_read_from_the_kernels_table() -> None:
    assert neighbors.parse(ARP, "192.0.2.7") == "52:54:00:aa:bb:cc"
    assert neighbors.parse(ARP, "192.0.2.8") is None
    assert neighbors.parse(ARP, "192.0.2.9") is None
    assert neighbors.parse("", "192.0.2.9") is None
