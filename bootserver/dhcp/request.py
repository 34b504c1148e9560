"""What a DHCP request says of the machine that sent it. Pure and lenient.

Boot ROMs differ: option 97 missing, option 93 of a wrong length or absent with the architecture in
the vendor class only, iPXE builds without a user class (FlexBoot) that send option 175.
"""

from __future__ import annotations

import re

from bootserver.boot.machine import Architecture, Machine
from bootserver.dhcp import options
from bootserver.dhcp.options import Code
from bootserver.dhcp.packet import ANY, Packet

ETHERNET = 1
_PXE, _HTTP = "PXEClient", "HTTPClient"
_VENDOR_ARCHITECTURE = re.compile(r"^(?:PXE|HTTP)Client:Arch:(\d{5})")
_IPXE_CLASSES = (b"iPXE", b"gPXE")

ARCHITECTURES = {
    0: Architecture.BIOS,
    7: Architecture.EFI_X86_64,
    9: Architecture.EFI_X86_64,
    11: Architecture.EFI_ARM64,
    16: Architecture.HTTP_X86_64,
    19: Architecture.HTTP_ARM64,
}
"""IANA's processor architecture numbers that are served. 9 is EBC by name, x86-64 in firmware."""

_HTTP_OF = {
    Architecture.EFI_X86_64: Architecture.HTTP_X86_64,
    Architecture.EFI_ARM64: Architecture.HTTP_ARM64,
}


def hardware_address(packet: Packet) -> str | None:
    """The MAC address, lower case with colons; None for anything but Ethernet."""
    if packet.htype != ETHERNET or len(packet.chaddr) != 6 or packet.chaddr == bytes(6):
        return None
    return packet.chaddr.hex(":")


def machine(packet: Packet) -> Machine:
    """Describe the sender. Never raises; what it does not say is None or OTHER."""
    vendor_class = options.text(packet, Code.VENDOR_CLASS)
    is_ipxe = _is_ipxe(packet)
    code = _architecture_code(packet, vendor_class)
    return Machine(
        mac=hardware_address(packet) or packet.chaddr.hex(":"),
        architecture=_architecture(code, vendor_class),
        architecture_code=code,
        uuid=options.client_uuid(packet),
        is_ipxe=is_ipxe,
        is_pxe=is_ipxe or vendor_class.startswith((_PXE, _HTTP)),
        vendor_class=vendor_class,
        relay=packet.giaddr if packet.giaddr != ANY else None,
        xid=packet.xid,
    )


def is_http_client(packet: Packet) -> bool:
    """The firmware itself fetches over HTTP (UEFI HTTP boot) and expects that class echoed."""
    return packet.options.get(Code.VENDOR_CLASS, b"").startswith(_HTTP.encode())


def is_pxe_client(packet: Packet) -> bool:
    """The sender follows the PXE specification and expects option 60 'PXEClient' echoed."""
    return packet.options.get(Code.VENDOR_CLASS, b"").startswith(_PXE.encode())


def _is_ipxe(packet: Packet) -> bool:
    if Code.IPXE in packet.options:
        return True
    return any(one.startswith(_IPXE_CLASSES) for one in options.user_classes(packet))


def _architecture_code(packet: Packet, vendor_class: str) -> int | None:
    """Option 93's first number that is served, else its first, else the vendor class'."""
    codes = options.architectures(packet)
    for code in codes:
        if code in ARCHITECTURES:
            return code
    if codes:
        return codes[0]
    match = _VENDOR_ARCHITECTURE.match(vendor_class)
    return int(match[1]) if match else None


def _architecture(code: int | None, vendor_class: str) -> Architecture:
    if code is None:
        # PXE 2.1 ROMs older than option 93 are BIOS ROMs.
        return Architecture.BIOS if vendor_class.startswith(_PXE) else Architecture.OTHER
    architecture = ARCHITECTURES.get(code, Architecture.OTHER)
    if vendor_class.startswith(_HTTP):
        return _HTTP_OF.get(architecture, architecture)
    return architecture
