"""What is understood of real and of odd clients."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from bootserver.boot.machine import Architecture, Machine
from bootserver.dhcp import options, request
from bootserver.dhcp.options import Code, MessageType
from tests.kit.dhcp import MAC, captured, message

UUID = "11223344-5566-7788-99aa-bbccddeeff00"
"""What the captured virtual machines were started with (-uuid)."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "ovmf-pxe-discover",
            Machine(
                mac=MAC,
                architecture=Architecture.EFI_X86_64,
                architecture_code=7,
                uuid=UUID,
                is_pxe=True,
                vendor_class="PXEClient:Arch:00007:UNDI:003000",
                xid=0xE10B0D7B,
            ),
        ),
        (
            "ovmf-http-discover",
            Machine(
                mac=MAC,
                architecture=Architecture.HTTP_X86_64,
                architecture_code=16,
                uuid=UUID,
                is_pxe=True,
                vendor_class="HTTPClient:Arch:00016:UNDI:003000",
                xid=0xC4B9E304,
            ),
        ),
        (
            "ipxe-bios-discover",
            Machine(
                mac=MAC,
                architecture=Architecture.BIOS,
                architecture_code=0,
                uuid=UUID,
                is_ipxe=True,
                is_pxe=True,
                vendor_class="PXEClient:Arch:00000:UNDI:002001",
                xid=0xD3F22C4B,
            ),
        ),
        (
            "ipxe-efi-discover",
            Machine(
                mac=MAC,
                architecture=Architecture.EFI_X86_64,
                architecture_code=7,
                uuid=UUID,
                is_ipxe=True,
                is_pxe=True,
                vendor_class="PXEClient:Arch:00007:UNDI:003010",
                xid=0x6B8C4672,
            ),
        ),
    ],
)
def test_real_firmware_is_understood(name: str, expected: Machine) -> None:
    assert request.machine(captured(name)) == expected


def described(**found: bytes) -> Machine:
    named = {Code[name.upper()]: value for name, value in found.items()}
    return request.machine(message(MessageType.DISCOVER, options=named))


@pytest.mark.parametrize(
    ("code", "architecture"),
    [
        (0, Architecture.BIOS),
        (7, Architecture.EFI_X86_64),
        (9, Architecture.EFI_X86_64),
        (11, Architecture.EFI_ARM64),
        (16, Architecture.HTTP_X86_64),
        (19, Architecture.HTTP_ARM64),
        (6, Architecture.OTHER),
        (4711, Architecture.OTHER),
    ],
)
def test_the_architecture_table(code: int, architecture: Architecture) -> None:
    found = described(vendor_class=b"PXEClient", client_architecture=code.to_bytes(2, "big"))
    assert (found.architecture, found.architecture_code) == (architecture, code)


def test_the_first_known_of_several_architectures_counts() -> None:
    found = described(vendor_class=b"PXEClient", client_architecture=bytes([0, 6, 0, 7]))
    assert found.architecture is Architecture.EFI_X86_64


def test_a_one_byte_architecture_is_read() -> None:
    assert described(client_architecture=b"\x07").architecture is Architecture.EFI_X86_64


def test_the_vendor_class_names_the_architecture_when_option_93_is_missing() -> None:
    found = described(vendor_class=b"PXEClient:Arch:00011:UNDI:003000")
    assert found.architecture is Architecture.EFI_ARM64


def test_a_pxe_rom_without_any_architecture_is_a_bios() -> None:
    found = described(vendor_class=b"PXEClient")
    assert (found.architecture, found.architecture_code) == (Architecture.BIOS, None)


def test_an_http_client_with_a_pxe_architecture_boots_over_http() -> None:
    found = described(vendor_class=b"HTTPClient", client_architecture=b"\0\x07")
    assert found.architecture is Architecture.HTTP_X86_64


@pytest.mark.parametrize("user_class", [b"iPXE", b"\x04iPXE", b"\x05other\x04iPXE", b"gPXE"])
def test_ipxe_is_known_by_its_user_class(user_class: bytes) -> None:
    found = described(user_class=user_class)
    assert (found.is_ipxe, found.is_pxe) == (True, True)


def test_ipxe_without_a_user_class_is_known_by_its_own_option() -> None:
    assert described(vendor_class=b"PXEClient", ipxe=b"\xb1\x05\x01").is_ipxe


@pytest.mark.parametrize("user_class", [b"", b"\x04iPX", b"\0iPXE", b"\xff", b"linux"])
def test_other_user_classes_are_not_ipxe(user_class: bytes) -> None:
    assert not described(user_class=user_class).is_ipxe


def test_an_operating_system_does_not_ask_to_boot() -> None:
    found = described(vendor_class=b"udhcp 1.35.0")
    assert (found.is_pxe, found.architecture) == (False, Architecture.OTHER)


@pytest.mark.parametrize(
    "value", [b"", bytes(17), b"\0" + b"\xff" * 16, b"\x01" + b"x" * 16, b"\0" + b"x" * 4]
)
def test_an_absent_or_meaningless_uuid_is_none(value: bytes) -> None:
    assert described(client_uuid=value).uuid is None


def test_a_uuid_without_its_type_byte_is_read() -> None:
    assert described(client_uuid=bytes.fromhex("443322116655887799aabbccddeeff00")).uuid == UUID


def test_the_relay_is_part_of_the_machine() -> None:
    relayed = message(MessageType.DISCOVER, giaddr=IPv4Address("10.88.0.1"))
    assert request.machine(relayed).relay == IPv4Address("10.88.0.1")


def test_what_is_not_ethernet_has_no_hardware_address() -> None:
    assert request.hardware_address(message(MessageType.DISCOVER, htype=32)) is None


def test_unprintable_bytes_in_a_vendor_class_are_masked() -> None:
    assert described(vendor_class=b"a\nb\x80").vendor_class == "a?b?"


@pytest.mark.parametrize(
    ("value", "size"),
    [(None, 1472), (b"\x05\xc0", 1444), (b"\x00\x01", 548), (b"\xff\xff", 1472), (b"x", 1472)],
)
def test_the_message_size_is_bounded(value: bytes | None, size: int) -> None:
    found = {} if value is None else {int(Code.MAX_MESSAGE_SIZE): value}
    assert options.max_message_size(message(MessageType.DISCOVER, options=found)) == size


def test_another_vendors_option_43_is_no_pxe() -> None:
    foreign = message(MessageType.DISCOVER, options={Code.VENDOR_SPECIFIC: b"\x0a\xff"})
    assert options.pxe_suboptions(foreign) == {}
