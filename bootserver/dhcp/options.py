"""DHCP options as typed values: the codes we use and lenient accessors over a `Packet`.

RFC 2132, 3004 (user class), 3046 (relay agent), 4578 (93, 94, 97), PXE 2.1 (option 43), iPXE (175).
Firmware gets lengths wrong; an accessor returns None or the useful part, it never raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv4Address
from uuid import UUID

from bootserver.dhcp.packet import Packet, PacketError, suboptions


class Code(IntEnum):
    """Option codes."""

    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVERS = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    BROADCAST_ADDRESS = 28
    VENDOR_SPECIFIC = 43
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_LIST = 55
    MESSAGE = 56
    MAX_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_IDENTIFIER = 61
    TFTP_SERVER_NAME = 66
    BOOTFILE_NAME = 67
    USER_CLASS = 77
    RELAY_AGENT = 82
    CLIENT_ARCHITECTURE = 93
    CLIENT_INTERFACE = 94
    CLIENT_UUID = 97
    IPXE = 175


class MessageType(IntEnum):
    """Values of option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


PXE_DISCOVERY_CONTROL = 6
PXE_BOOT_MENU = 9
PXE_MENU_PROMPT = 10
PXE_BOOT_ITEM = 71
IPXE_NO_PROXY_DHCP = 176


def message_type(packet: Packet) -> MessageType | None:
    """Option 53, or None when it is absent or unknown."""
    value = packet.options.get(Code.MESSAGE_TYPE, b"")
    if len(value) != 1 or value[0] not in MessageType._value2member_map_:
        return None
    return MessageType(value[0])


def address(packet: Packet, code: Code) -> IPv4Address | None:
    """An option that holds one IPv4 address."""
    value = packet.options.get(code, b"")
    return IPv4Address(value) if len(value) == 4 else None


def max_message_size(packet: Packet) -> int:
    """The largest UDP payload the client takes, in bytes.

    Option 57 counts the IP and UDP headers too and must be at least 576. Without it the payload is
    an Ethernet frame's: what is in the field copes, and a minimum of 548 would overload the file
    field, which old boot ROMs can't read.
    """
    value = packet.options.get(Code.MAX_MESSAGE_SIZE, b"")
    size = int.from_bytes(value, "big") if len(value) == 2 else 1500
    return min(max(size, 576), 1500) - 28


def text(packet: Packet, code: Code) -> str:
    """A text option without trailing NULs; bytes that are not printable ASCII become '?'."""
    value = packet.options.get(code, b"").rstrip(b"\0")
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in value)


def architectures(packet: Packet) -> tuple[int, ...]:
    """Option 93: a list of 16-bit numbers; one single byte is read as its value."""
    value = packet.options.get(Code.CLIENT_ARCHITECTURE, b"")
    if len(value) == 1:
        return (value[0],)
    return tuple(
        int.from_bytes(value[start : start + 2], "big") for start in range(0, len(value) - 1, 2)
    )


def client_uuid(packet: Packet) -> str | None:
    """The SMBIOS UUID of option 97, canonical; None when absent, not a UUID, all zero or all one.

    The first three fields are little-endian on the wire (EFI's order, as firmware and iPXE send
    it). Some clients leave out the type byte.
    """
    value = packet.options.get(Code.CLIENT_UUID, b"")
    if len(value) == 17 and value[0] == 0:
        value = value[1:]
    if len(value) != 16 or value in (bytes(16), b"\xff" * 16):
        return None
    return str(UUID(bytes_le=value))


def user_classes(packet: Packet) -> tuple[bytes, ...]:
    """Option 77: RFC 3004 strings with length bytes, or (iPXE and others) one bare string."""
    value = packet.options.get(Code.USER_CLASS, b"")
    classes: list[bytes] = []
    offset = 0
    while offset < len(value):
        end = offset + 1 + value[offset]
        if end > len(value) or value[offset] == 0:
            return (value,)
        classes.append(value[offset + 1 : end])
        offset = end
    return tuple(classes)


def pxe_suboptions(packet: Packet) -> dict[int, bytes]:
    """Option 43 as PXE sub-options; empty when another vendor's format fills it."""
    try:
        return suboptions(packet.options.get(Code.VENDOR_SPECIFIC, b""))
    except PacketError:
        return {}


def pack_addresses(addresses: Iterable[IPv4Address]) -> bytes:
    """Several addresses as one option value."""
    return b"".join(one.packed for one in addresses)
