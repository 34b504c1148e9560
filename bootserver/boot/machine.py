"""What a booting machine says of itself, and what it can be told. Pure values.

Sources: RFC 4578 and the IANA processor architecture registry (option 93), RFC 3679/iPXE
(options 77, 175), UEFI 2.10 section 24.7 (HTTP boot).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address


class Architecture(Enum):
    """Client system architecture of DHCP option 93, reduced to what is served differently."""

    BIOS = "bios"
    EFI_X86_64 = "efi-x86_64"
    EFI_ARM64 = "efi-arm64"
    HTTP_X86_64 = "http-x86_64"
    HTTP_ARM64 = "http-arm64"
    OTHER = "other"


@dataclass(frozen=True)
class Machine:
    """One boot request, seen through DHCP. `mac` is lower case with colons."""

    mac: str
    architecture: Architecture
    architecture_code: int | None = None
    """The raw option 93 value; None when the client did not send it."""
    uuid: str | None = None
    """SMBIOS UUID of option 97, canonical lower case; None when absent or all zero."""
    is_ipxe: bool = False
    """The client is iPXE already (option 77 'iPXE' or option 175 present)."""
    is_pxe: bool = False
    """The client asks to boot from the network (option 60 PXEClient or HTTPClient, or iPXE)."""
    vendor_class: str = ""
    relay: IPv4Address | None = None
    xid: int = 0


@dataclass(frozen=True)
class Ignore:
    """Give no boot information."""

    why: str


@dataclass(frozen=True)
class LocalDisk:
    """Give no boot information, but tell the firmware to go on to its next boot option at once."""

    why: str


@dataclass(frozen=True)
class Bootfile:
    """Load `path` (relative to the TFTP root, which is the artefact directory) over TFTP."""

    path: str


@dataclass(frozen=True)
class BootUrl:
    """Load this URL: an iPXE script for iPXE, a loader for UEFI HTTP boot."""

    url: str


Answer = Ignore | LocalDisk | Bootfile | BootUrl
