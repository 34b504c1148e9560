"""Server mode: what real and plain clients are answered, message by message."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from bootserver.boot.machine import Answer, Bootfile, BootUrl, Ignore, LocalDisk
from bootserver.dhcp.exchange import Delivery, Outgoing, Route, Silence
from bootserver.dhcp.options import Code, MessageType
from bootserver.dhcp.packet import ANY, BROADCAST_FLAG, Packet, parse, suboptions
from bootserver.dhcp.reply import reply
from bootserver.leases import Pool, Reservation, Subnet
from tests.kit.dhcp import (
    MAC,
    POOL,
    SERVER,
    SUBNET,
    FixedPolicy,
    arrival,
    captured,
    message,
    server_policy,
)

EFI = Bootfile("x86_64/snponly.efi")
SCRIPT = BootUrl("http://10.77.0.1:8080/ipxe/52:54:00:12:34:56")
LOADER = BootUrl("http://10.77.0.1:8080/artifacts/x86_64/snponly.efi")
NOTHING = Ignore("not declared")
OUR_ID = {Code.SERVER_IDENTIFIER: SERVER.packed}


def answered(packet: Packet, policy: FixedPolicy, **where: object) -> tuple[Packet, Outgoing]:
    outcome = reply(packet, arrival(**where), policy)  # type: ignore[arg-type]
    assert isinstance(outcome, Outgoing), outcome
    return parse(outcome.payload), outcome


def silent(packet: Packet, policy: FixedPolicy, **where: object) -> Silence:
    outcome = reply(packet, arrival(**where), policy)  # type: ignore[arg-type]
    assert isinstance(outcome, Silence), outcome
    return outcome


def kind(packet: Packet) -> MessageType:
    return MessageType(packet.options[Code.MESSAGE_TYPE][0])


def request_of(address: IPv4Address) -> Packet:
    found = {Code.REQUESTED_ADDRESS: address.packed}
    return message(MessageType.REQUEST, options={**found, **OUR_ID})


@pytest.mark.parametrize("name", ["ovmf-pxe-discover", "ovmf-pxe-request"])
def test_uefi_pxe_gets_address_server_and_file(name: str) -> None:
    policy = server_policy(EFI)
    assert policy.allocator is not None
    policy.allocator.reserve([Reservation(MAC, IPv4Address("10.77.0.143"))])
    request = captured(name)
    found, outgoing = answered(request, policy)
    assert kind(found) is (MessageType.OFFER if "discover" in name else MessageType.ACK)
    assert (found.yiaddr, found.siaddr) == (IPv4Address("10.77.0.143"), SERVER)
    assert found.file == b"x86_64/snponly.efi"
    assert found.options == {
        Code.MESSAGE_TYPE: found.options[Code.MESSAGE_TYPE],
        Code.SERVER_IDENTIFIER: SERVER.packed,
        Code.LEASE_TIME: (3600).to_bytes(4, "big"),
        Code.RENEWAL_TIME: (1800).to_bytes(4, "big"),
        Code.REBINDING_TIME: (3150).to_bytes(4, "big"),
        Code.SUBNET_MASK: bytes([255, 255, 255, 0]),
        Code.BROADCAST_ADDRESS: bytes([10, 77, 0, 255]),
        Code.ROUTER: bytes([10, 77, 0, 254]),
        Code.DNS_SERVERS: bytes([10, 77, 0, 1, 10, 77, 0, 2]),
        Code.DOMAIN_NAME: b"rack.lan",
        Code.TFTP_SERVER_NAME: b"10.77.0.1",
        Code.BOOTFILE_NAME: b"x86_64/snponly.efi",
        Code.VENDOR_CLASS: b"PXEClient",
        Code.VENDOR_SPECIFIC: bytes([6, 1, 8, 255]),
        Code.CLIENT_UUID: request.options[Code.CLIENT_UUID],
    }
    assert outgoing.route.delivery is Delivery.BROADCAST


def test_a_client_that_can_take_unicast_is_addressed_by_its_hardware() -> None:
    found, outgoing = answered(captured("ipxe-bios-discover"), server_policy(SCRIPT))
    assert outgoing.route == Route(found.yiaddr, 68, Delivery.HARDWARE)
    assert outgoing.hardware.hex(":") == MAC


@pytest.mark.parametrize("name", ["ipxe-bios-discover", "ipxe-efi-discover"])
def test_ipxe_gets_its_script_and_need_not_wait_for_a_proxy(name: str) -> None:
    found, _ = answered(captured(name), server_policy(SCRIPT))
    assert found.file == SCRIPT.url.encode()
    assert found.options[Code.BOOTFILE_NAME] == SCRIPT.url.encode()
    assert found.options[Code.VENDOR_CLASS] == b"PXEClient"
    assert found.options[Code.IPXE] == bytes([176, 1, 1])


def test_uefi_http_boot_gets_its_class_echoed_and_a_url() -> None:
    found, _ = answered(captured("ovmf-http-discover"), server_policy(LOADER))
    assert found.options[Code.VENDOR_CLASS] == b"HTTPClient"
    assert found.options[Code.BOOTFILE_NAME] == LOADER.url.encode()
    assert (found.siaddr, found.file) == (ANY, b"")
    assert Code.VENDOR_SPECIFIC not in found.options


def test_bios_pxe_gets_the_file_in_the_header_field() -> None:
    bios = message(
        MessageType.DISCOVER,
        options={Code.VENDOR_CLASS: b"PXEClient:Arch:00000:UNDI:002001"},
    )
    found, _ = answered(bios, server_policy(Bootfile("bios/undionly.kpxe")))
    assert (found.siaddr, found.file) == (SERVER, b"bios/undionly.kpxe")


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [
        ("ovmf-pxe-discover", NOTHING, "not declared"),
        ("ovmf-pxe-discover", LOADER, "can't load the URL"),
        ("ovmf-http-discover", EFI, "over TFTP"),
    ],
)
def test_a_machine_that_must_not_boot_gets_a_plain_lease(
    name: str, answer: Answer, why: str
) -> None:
    found, outgoing = answered(captured(name), server_policy(answer))
    assert found.yiaddr in POOL
    assert (found.siaddr, found.file) == (ANY, b"")
    boot = {Code.BOOTFILE_NAME, Code.TFTP_SERVER_NAME, Code.VENDOR_CLASS, Code.VENDOR_SPECIFIC}
    assert not boot & found.options.keys()
    ignored = [one for one in outgoing.events if one.event == "ignored"]
    assert why in str(ignored[0].detail["why"])


@pytest.mark.parametrize("name", ["ovmf-pxe-discover", "ovmf-pxe-request"])
def test_uefi_pxe_is_sent_on_to_its_disk_by_a_menu_and_without_a_file(name: str) -> None:
    policy = server_policy(LocalDisk("not declared"))
    assert policy.allocator is not None
    policy.allocator.reserve([Reservation(MAC, IPv4Address("10.77.0.143"))])
    found, outgoing = answered(captured(name), policy)
    assert found.yiaddr == IPv4Address("10.77.0.143")
    assert (found.siaddr, found.file) == (ANY, b"")
    assert not {Code.BOOTFILE_NAME, Code.TFTP_SERVER_NAME} & found.options.keys()
    assert found.options[Code.VENDOR_CLASS] == b"PXEClient"
    menu = suboptions(found.options[Code.VENDOR_SPECIFIC])
    boot_type, length = int.from_bytes(menu[9][:2], "big"), menu[9][2]
    assert boot_type == 0, "local boot"
    assert len(menu[9]) == 3 + length, "the only item"
    assert menu[10][0] == 0, "without a question"
    assert menu[6] == bytes([3]), "no search for boot servers; the menu holds"
    said = {one.event: one.detail for one in outgoing.events}
    assert said["ignored"] == {"why": "not declared"}
    assert "boot" not in said["offer" if "discover" in name else "ack"], "nothing was begun"


def test_a_client_outside_pxe_is_sent_no_menu() -> None:
    found, _ = answered(captured("ovmf-http-discover"), server_policy(LocalDisk("not declared")))
    assert not {Code.VENDOR_CLASS, Code.VENDOR_SPECIFIC} & found.options.keys()


def test_who_does_not_boot_from_the_network_is_not_asked_about() -> None:
    def never(_: object) -> Answer:
        raise AssertionError("the policy was asked")

    policy = server_policy(NOTHING)
    policy.decide = never
    found, outgoing = answered(message(MessageType.DISCOVER), policy)
    assert found.yiaddr in POOL
    assert [one.event for one in outgoing.events] == ["discover", "offer"]


def test_the_timeline_tells_the_exchange() -> None:
    policy = server_policy(EFI)
    first, offered = answered(captured("ovmf-pxe-discover"), policy)
    _, acknowledged = answered(
        message(
            MessageType.REQUEST,
            options={
                **captured("ovmf-pxe-request").options,
                Code.MESSAGE_TYPE: b"\x03",
                Code.REQUESTED_ADDRESS: first.yiaddr.packed,
            },
        ),
        policy,
    )
    events = (*offered.events, *acknowledged.events)
    assert [one.event for one in events] == ["discover", "offer", "request", "ack"]
    assert {one.mac for one in events} == {MAC}
    assert events[0].detail["vendorClass"] == "PXEClient:Arch:00007:UNDI:003000"
    assert events[3].detail == {"address": str(first.yiaddr), "boot": "x86_64/snponly.efi"}


def test_a_request_for_another_server_is_left_alone_and_frees_our_offer() -> None:
    policy = server_policy(NOTHING)
    offered, _ = answered(message(MessageType.DISCOVER), policy)
    other = {Code.SERVER_IDENTIFIER: bytes([10, 77, 0, 2])}
    requested = {Code.REQUESTED_ADDRESS: offered.yiaddr.packed}
    outcome = silent(message(MessageType.REQUEST, options={**other, **requested}), policy)
    assert "10.77.0.2" in outcome.why
    assert policy.allocator is not None
    assert policy.allocator.active(1001.0) == ()


def test_an_address_that_is_not_the_machines_is_refused_by_broadcast() -> None:
    refused, outgoing = answered(request_of(IPv4Address("10.77.0.50")), server_policy(NOTHING))
    assert kind(refused) is MessageType.NAK
    assert (refused.yiaddr, refused.ciaddr) == (ANY, ANY)
    assert b"10.77.0.50" in refused.options[Code.MESSAGE]
    assert Code.LEASE_TIME not in refused.options
    assert outgoing.route.delivery is Delivery.BROADCAST


def init_reboot(address: str) -> Packet:
    wanted = IPv4Address(address).packed
    return message(MessageType.REQUEST, options={Code.REQUESTED_ADDRESS: wanted})


def test_a_machine_that_comes_from_another_network_is_refused_at_once() -> None:
    refused, _ = answered(init_reboot("192.168.1.5"), server_policy(NOTHING))
    assert kind(refused) is MessageType.NAK


def test_without_authority_a_strangers_address_is_not_refused() -> None:
    humble = Subnet(SUBNET.network, SUBNET.pools, authoritative=False)
    for address in ("192.168.1.5", str(POOL.first)):
        outcome = silent(init_reboot(address), server_policy(NOTHING, humble))
        assert "another server" in outcome.why


def test_without_authority_a_known_machines_wrong_address_is_met_with_silence() -> None:
    policy = server_policy(NOTHING, Subnet(SUBNET.network, SUBNET.pools, authoritative=False))
    offered, _ = answered(message(MessageType.DISCOVER), policy)
    answered(request_of(offered.yiaddr), policy)
    assert "not this machine's" in silent(init_reboot("10.77.0.50"), policy).why


def test_a_rebooting_machine_keeps_its_address_and_a_lost_lease_is_restored() -> None:
    found, _ = answered(init_reboot(str(POOL.last)), server_policy(NOTHING))
    assert (kind(found), found.yiaddr) == (MessageType.ACK, POOL.last)


def test_a_renewal_is_answered_by_unicast_and_not_on_the_timeline() -> None:
    policy = server_policy(EFI)
    answered(request_of(POOL.first), policy)
    renewal = message(MessageType.REQUEST, ciaddr=POOL.first)
    found, outgoing = answered(renewal, policy, source=str(POOL.first))
    assert (kind(found), found.yiaddr, found.ciaddr) == (MessageType.ACK, POOL.first, POOL.first)
    assert outgoing.route == Route(POOL.first, 68, Delivery.UNICAST)
    assert outgoing.events == ()


def test_a_request_without_any_address_is_ignored() -> None:
    assert "no address" in silent(message(MessageType.REQUEST), server_policy(NOTHING)).why


FAR = Subnet(
    IPv4Network("10.88.0.0/24"), (Pool(IPv4Address("10.88.0.10"), IPv4Address("10.88.0.20")),)
)
RELAY = IPv4Address("10.88.0.1")
CIRCUIT = bytes([1, 4, 9, 9, 9, 9])


def relayed(kind: MessageType, option_82: bytes = CIRCUIT, **options: bytes) -> Packet:
    found = {Code.RELAY_AGENT: option_82, **{Code[key]: value for key, value in options.items()}}
    return message(kind, options=found, giaddr=RELAY, hops=1)


def test_a_relayed_client_gets_an_address_of_its_own_network_through_the_relay() -> None:
    policy = server_policy(NOTHING, SUBNET, FAR)
    found, outgoing = answered(relayed(MessageType.DISCOVER), policy, source=str(RELAY))
    assert found.yiaddr in FAR.network
    assert found.giaddr == RELAY
    assert found.options[Code.RELAY_AGENT] == CIRCUIT
    assert list(found.options)[-1] == Code.RELAY_AGENT
    assert outgoing.route == Route(RELAY, 67, Delivery.RELAY)


def test_a_relayed_refusal_asks_the_relay_to_broadcast() -> None:
    packet = relayed(MessageType.REQUEST, REQUESTED_ADDRESS=bytes([10, 77, 0, 100]))
    found, outgoing = answered(packet, server_policy(NOTHING, SUBNET, FAR))
    assert kind(found) is MessageType.NAK
    assert found.flags & BROADCAST_FLAG
    assert outgoing.route.delivery is Delivery.RELAY


def test_link_selection_outranks_the_relays_address() -> None:
    selected = bytes([5, 4]) + SERVER.packed
    packet = relayed(MessageType.DISCOVER, selected)
    found, _ = answered(packet, server_policy(NOTHING, SUBNET, FAR))
    assert found.yiaddr in SUBNET.network


def test_a_broken_option_82_is_echoed_and_otherwise_ignored() -> None:
    packet = relayed(MessageType.DISCOVER, b"\x01\xff")
    found, _ = answered(packet, server_policy(NOTHING, FAR))
    assert found.options[Code.RELAY_AGENT] == b"\x01\xff"


@pytest.mark.parametrize("kind", [MessageType.DISCOVER, MessageType.REQUEST, MessageType.INFORM])
def test_a_relay_of_an_unknown_network_gets_no_answer(kind: MessageType) -> None:
    wanted = {"REQUESTED_ADDRESS": bytes([10, 88, 0, 10])}
    packet = relayed(kind, **(wanted if kind is MessageType.REQUEST else {}))
    assert "no subnet holds 10.88.0.1" in silent(packet, server_policy(NOTHING, SUBNET)).why


def test_a_full_pool_is_told_on_the_timeline() -> None:
    policy = server_policy(NOTHING)
    for number in range(len(POOL)):
        answered(message(MessageType.DISCOVER, f"52:54:00:00:01:0{number}"), policy)
    outcome = silent(message(MessageType.DISCOVER), policy)
    assert [one.event for one in outcome.events] == ["discover", "ignored"]
    assert outcome.events[1].detail["why"] == "no address is free on 10.77.0.0/24"


def test_an_informing_client_gets_parameters_without_a_lease() -> None:
    packet = message(MessageType.INFORM, ciaddr=IPv4Address("10.77.0.50"))
    found, outgoing = answered(packet, server_policy(NOTHING), source="10.77.0.50")
    assert (kind(found), found.yiaddr) == (MessageType.ACK, ANY)
    assert found.options[Code.DOMAIN_NAME] == b"rack.lan"
    assert Code.LEASE_TIME not in found.options
    assert outgoing.route == Route(IPv4Address("10.77.0.50"), 68, Delivery.UNICAST)


def test_a_release_ends_the_lease() -> None:
    policy = server_policy(NOTHING)
    answered(request_of(POOL.first), policy)
    assert policy.allocator is not None
    stranger = message(MessageType.RELEASE, "52:54:00:00:00:09", ciaddr=POOL.first)
    assert "not this machine's" in silent(stranger, policy, time=1001.0).why
    silent(message(MessageType.RELEASE, ciaddr=POOL.first), policy, time=1002.0)
    assert policy.allocator.active(1003.0) == ()


def test_a_declined_address_is_told_and_not_offered_again() -> None:
    policy = server_policy(NOTHING)
    answered(request_of(POOL.first), policy)
    declined = {Code.REQUESTED_ADDRESS: POOL.first.packed}
    outcome = silent(message(MessageType.DECLINE, options=declined), policy)
    assert "in use by somebody else" in str(outcome.events[0].detail["why"])
    again, _ = answered(message(MessageType.DISCOVER, options=declined), policy)
    assert again.yiaddr != POOL.first


def test_a_reserved_machine_is_told_its_name() -> None:
    policy = server_policy(NOTHING)
    assert policy.allocator is not None
    policy.allocator.reserve([Reservation(MAC, IPv4Address("10.77.0.7"), "node1")])
    found, _ = answered(message(MessageType.DISCOVER), policy)
    assert found.options[Code.HOST_NAME] == b"node1"


def test_the_client_identifier_comes_back() -> None:
    packet = message(MessageType.DISCOVER, options={Code.CLIENT_IDENTIFIER: b"\xff1234"})
    found, _ = answered(packet, server_policy(NOTHING))
    assert found.options[Code.CLIENT_IDENTIFIER] == b"\xff1234"


def test_a_long_url_travels_in_the_option_only() -> None:
    url = "http://10.77.0.1:8080/" + "x" * 300
    found, _ = answered(captured("ipxe-efi-discover"), server_policy(BootUrl(url)))
    assert found.options[Code.BOOTFILE_NAME] == url.encode()
    assert found.file == b""


def test_a_reply_that_fits_no_message_is_not_sent_and_told() -> None:
    url = "http://10.77.0.1:8080/" + "x" * 2000
    outcome = silent(captured("ipxe-efi-discover"), server_policy(BootUrl(url)))
    assert "do not fit" in outcome.why
    assert [one.event for one in outcome.events] == ["discover", "ignored"]


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (Packet(op=2, xid=1, chaddr=bytes(6), options={53: b"\x01"}), "is a reply"),
        (message(MessageType.DISCOVER, htype=32), "no Ethernet"),
        (message(MessageType.DISCOVER, "00:00:00:00:00:00"), "no Ethernet"),
        (Packet(op=1, xid=1, chaddr=b"\x02" * 6), "no known message type"),
        (Packet(op=1, xid=1, chaddr=b"\x02" * 6, options={53: b"\x63"}), "no known message type"),
        (message(MessageType.OFFER), "a server's message"),
    ],
)
def test_what_is_no_clients_message_is_met_with_silence(packet: Packet, why: str) -> None:
    assert why in silent(packet, server_policy(NOTHING)).why
