"""MAC addresses of machines on the same link, from the kernel's ARP table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/self/net/arp")
_COMPLETE: Final = 0x2


def mac_of(address: str) -> str | None:
    """MAC address of a neighbour, lower case with colons; None when it is not on our links."""
    try:
        return parse(_TABLE.read_text("ascii"), address)
    except OSError:
        return None


def parse(table: str, address: str) -> str | None:
    """Find an address in the text of `/proc/net/arp`."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4 and fields[0] == address and int(fields[2], 16) & _COMPLETE:
            return fields[3].lower()
    return None
