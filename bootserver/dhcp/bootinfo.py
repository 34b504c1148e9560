"""The boot part of a DHCP reply, for each kind of client. Pure.

BIOS and UEFI PXE take a TFTP server and file name; iPXE a URL or a file name; UEFI HTTP boot a URL
under the vendor class HTTPClient (UEFI 2.10 section 24.7). PXE 2.1 section 2.4 holds option 43.
A PXE client with nothing to load gets a menu of one item, type 0: boot the local disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from bootserver.boot.machine import Answer, Bootfile, BootUrl, Ignore, LocalDisk, Machine
from bootserver.dhcp import options, request
from bootserver.dhcp.options import Code
from bootserver.dhcp.packet import ANY, Packet

_FILE_FIELD_LIMIT = 127
_SKIP_DISCOVERY = bytes((options.PXE_DISCOVERY_CONTROL, 1, 8))
"""Bit 3: load the file of this reply; no menu, no search for other boot servers."""
_PXE_END = b"\xff"
_LOCAL_DISK = b"Local disk"
_ONLY_LOCAL_DISK = (
    bytes((options.PXE_DISCOVERY_CONTROL, 1, 3))  # no search for boot servers
    + bytes((options.PXE_BOOT_MENU, 3 + len(_LOCAL_DISK), 0, 0, len(_LOCAL_DISK)))
    + _LOCAL_DISK
    + bytes((options.PXE_MENU_PROMPT, 1 + len(_LOCAL_DISK), 0))  # taken after 0 seconds
    + _LOCAL_DISK
    + _PXE_END
)
_NO_PROXY_WAIT = bytes((options.IPXE_NO_PROXY_DHCP, 1, 1))


@dataclass(frozen=True)
class BootInfo:
    """What a reply carries besides the lease. `summary` is for the timeline: the file or URL."""

    options: Mapping[int, bytes]
    siaddr: IPv4Address
    file: bytes
    summary: str | None


def boot_info(
    packet: Packet, machine: Machine, answer: Answer, server: IPv4Address
) -> BootInfo | Ignore:
    """Put an answer into options; Ignore when there is none or this client can't use it."""
    match answer:
        case Ignore():
            return answer
        case LocalDisk(why):
            return _local_disk(packet, why)
        case BootUrl(url) if machine.is_ipxe:
            return BootInfo(_loader(packet, url) | _pxe(packet), server, _field(url), url)
        case BootUrl(url) if request.is_http_client(packet):
            return BootInfo(
                {Code.VENDOR_CLASS: b"HTTPClient"} | _loader(packet, url), ANY, b"", url
            )
        case Bootfile(path) if not request.is_http_client(packet):
            tftp = {Code.TFTP_SERVER_NAME: str(server).encode()} | _loader(packet, path)
            return BootInfo(tftp | _pxe(packet), server, _field(path), path)
        case BootUrl(url):
            return Ignore(f"the client's firmware can't load the URL {url}")
        case Bootfile(path):
            return Ignore(f"the client boots over HTTP and can't load {path} over TFTP")


def _local_disk(packet: Packet, why: str) -> BootInfo | Ignore:
    if not request.is_pxe_client(packet):
        return Ignore(why)
    found: dict[int, bytes] = {
        Code.VENDOR_CLASS: b"PXEClient",
        Code.VENDOR_SPECIFIC: _ONLY_LOCAL_DISK,
    }
    return BootInfo(found, ANY, b"", None)


def without_proxy_wait(packet: Packet, machine: Machine) -> dict[int, bytes]:
    """Tell iPXE, which has its address from us, not to wait seconds for a proxyDHCP offer."""
    return {Code.IPXE: _NO_PROXY_WAIT} if machine.is_ipxe and Code.IPXE in packet.options else {}


def _loader(packet: Packet, name: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {Code.BOOTFILE_NAME: name.encode()}
    if Code.CLIENT_UUID in packet.options:
        found[Code.CLIENT_UUID] = packet.options[Code.CLIENT_UUID]
    return found


def _pxe(packet: Packet) -> dict[int, bytes]:
    """Options 60 and 43 for who follows PXE, with the boot item it asked for, if any."""
    if not request.is_pxe_client(packet):
        return {}
    item = options.pxe_suboptions(packet).get(options.PXE_BOOT_ITEM, b"")
    chosen = bytes((options.PXE_BOOT_ITEM, len(item))) + item if len(item) == 4 else b""
    return {
        Code.VENDOR_CLASS: b"PXEClient",
        Code.VENDOR_SPECIFIC: _SKIP_DISCOVERY + chosen + _PXE_END,
    }


def _field(name: str) -> bytes:
    """The boot file name for the header field; empty when only option 67 can hold it."""
    encoded = name.encode()
    return encoded if len(encoded) <= _FILE_FIELD_LIMIT else b""
