"""Proxy mode and the boot server port: boot information without addresses."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from bootserver.boot.machine import Answer, Bootfile, BootUrl, Ignore, LocalDisk
from bootserver.dhcp.exchange import Delivery, Outgoing, Route, Silence
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import ANY, Packet, parse
from bootserver.dhcp.reply import reply
from tests.kit.dhcp import (
    SERVER,
    FixedPolicy,
    arrival,
    captured,
    message,
    proxy_policy,
    server_policy,
)

EFI = Bootfile("x86_64/snponly.efi")
CLIENT = "10.77.0.58"
NETWORK_OPTIONS = {
    Code.LEASE_TIME,
    Code.SUBNET_MASK,
    Code.ROUTER,
    Code.DNS_SERVERS,
    Code.REQUESTED_ADDRESS,
}


def answered(packet: Packet, policy: FixedPolicy, **where: object) -> tuple[Packet, Outgoing]:
    outcome = reply(packet, arrival(**where), policy)  # type: ignore[arg-type]
    assert isinstance(outcome, Outgoing), outcome
    return parse(outcome.payload), outcome


def at_boot_server_port(kind: MessageType, **options: bytes) -> Packet:
    """What firmware sends to port 4011 once it has an address."""
    said: dict[int, bytes] = dict(captured("ovmf-pxe-request").options)
    said.update({Code[key]: value for key, value in options.items()})
    said[Code.MESSAGE_TYPE] = bytes((kind,))
    return message(kind, options=said, ciaddr=IPv4Address(CLIENT))


def test_the_proxy_offer_has_a_file_and_no_address() -> None:
    found, outgoing = answered(captured("ovmf-pxe-discover"), proxy_policy(EFI))
    assert found.options[Code.MESSAGE_TYPE] == bytes((MessageType.OFFER,))
    assert (found.yiaddr, found.siaddr, found.file) == (ANY, SERVER, EFI.path.encode())
    assert found.options[Code.VENDOR_CLASS] == b"PXEClient"
    assert found.options[Code.VENDOR_SPECIFIC] == bytes([6, 1, 8, 255])
    assert not NETWORK_OPTIONS & found.options.keys()
    assert [one.event for one in outgoing.events] == ["discover", "proxy-offer"]


def test_a_client_without_an_address_is_answered_by_broadcast() -> None:
    _, outgoing = answered(captured("ipxe-bios-discover"), proxy_policy(EFI))
    assert outgoing.route.delivery is Delivery.BROADCAST


def test_ipxe_gets_its_script_beside_another_server() -> None:
    url = BootUrl("http://10.77.0.1:8080/ipxe/52:54:00:12:34:56")
    found, _ = answered(captured("ipxe-efi-discover"), proxy_policy(url))
    assert found.options[Code.BOOTFILE_NAME] == url.url.encode()
    assert Code.IPXE not in found.options


@pytest.mark.parametrize("kind", [MessageType.REQUEST, MessageType.INFORM])
@pytest.mark.parametrize("policy", [proxy_policy(EFI), server_policy(EFI)], ids=["proxy", "server"])
def test_the_boot_server_port_acknowledges_without_a_lease(
    kind: MessageType, policy: FixedPolicy
) -> None:
    where = {"port": 4011, "source": CLIENT, "source_port": 4011}
    found, outgoing = answered(at_boot_server_port(kind), policy, **where)
    assert found.options[Code.MESSAGE_TYPE] == bytes((MessageType.ACK,))
    assert (found.yiaddr, found.file) == (ANY, EFI.path.encode())
    assert not NETWORK_OPTIONS & found.options.keys()
    assert outgoing.route == Route(IPv4Address(CLIENT), 4011, Delivery.UNICAST)
    assert [one.event for one in outgoing.events] == ["request", "ack"]


def test_the_chosen_boot_item_comes_back() -> None:
    chosen = at_boot_server_port(
        MessageType.REQUEST, VENDOR_SPECIFIC=bytes([71, 4, 0x80, 0, 0, 0, 255])
    )
    found, _ = answered(chosen, proxy_policy(EFI), port=4011, source=CLIENT)
    expected = bytes([6, 1, 8, 71, 4, 0x80, 0, 0, 0, 255])
    assert found.options[Code.VENDOR_SPECIFIC] == expected


def test_a_client_without_an_address_is_answered_at_the_boot_server_port() -> None:
    packet = at_boot_server_port(MessageType.REQUEST)
    _, outgoing = answered(packet, proxy_policy(EFI), port=4011)
    assert outgoing.route.delivery is Delivery.BROADCAST


@pytest.mark.parametrize("answer", [Ignore("installed"), LocalDisk("installed")])
def test_a_machine_to_be_ignored_gets_nothing_but_is_recorded(answer: Answer) -> None:
    """Beside another DHCP server nobody is sent to its disk: another boot server may want it."""
    outcome = reply(captured("ovmf-pxe-discover"), arrival(), proxy_policy(answer))
    assert isinstance(outcome, Silence)
    assert [one.event for one in outcome.events] == ["discover", "ignored"]
    assert outcome.events[1].detail == {"why": "installed"}


@pytest.mark.parametrize(
    ("packet", "port"),
    [
        (message(MessageType.DISCOVER), 67),
        (captured("ovmf-pxe-request"), 67),
        (message(MessageType.REQUEST), 4011),
        (captured("ovmf-pxe-discover"), 4011),
    ],
)
def test_other_peoples_business_is_left_alone_and_unrecorded(packet: Packet, port: int) -> None:
    outcome = reply(packet, arrival(port), proxy_policy(EFI))
    assert isinstance(outcome, Silence)
    assert outcome.events == ()


def test_the_proxy_offer_goes_through_a_relay() -> None:
    discover = captured("ovmf-pxe-discover")
    packet = message(
        MessageType.DISCOVER,
        options=dict(discover.options),
        giaddr=IPv4Address("10.88.0.1"),
    )
    _, outgoing = answered(packet, proxy_policy(EFI))
    assert outgoing.route == Route(IPv4Address("10.88.0.1"), 67, Delivery.RELAY)
