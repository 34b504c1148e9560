"""Which NIC this machine is known by, and whether its link is up.

The initrd has configured the NIC it booted from and left `/run/trident/netboot.json`; without it
(started from a medium) the kernel's own list of interfaces is read. Changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from agent.api.errors import Kind, TridentError

NETBOOT_RECORD = Path("/run/trident/netboot.json")
INTERFACES = Path("/sys/class/net")
LINK_WAIT_S = 60.0
LINK_DOWN = "link-down"
_POLL_S = 0.5


def identity(
    boot_mac: str | None, *, record: Path = NETBOOT_RECORD, interfaces: Path = INTERFACES
) -> str:
    """The MAC address the boot server knows this machine by.

    BOOTIF first, then the NIC the initrd used, then the only physical NIC with a carrier.
    Raises initialization/read-cmdline when none or several qualify.
    """
    if boot_mac is not None:
        return boot_mac
    if record.exists():
        return str(json.loads(record.read_text())["mac"]).lower()
    candidates = [mac for mac, carrier in _physical(interfaces).items() if carrier]
    if len(candidates) != 1:
        seen = ", ".join(sorted(candidates)) or "none"
        raise TridentError(
            Kind.INITIALIZATION,
            "read-cmdline",
            f"cannot tell which network interface names this machine (with a link: {seen})",
            hint="add BOOTIF=01-<mac, with dashes> to the kernel arguments",
        )
    return candidates[0]


def addresses(interfaces: Path = INTERFACES) -> tuple[str, ...]:
    """The MAC addresses of all interfaces that are devices."""
    return tuple(_physical(interfaces)) if interfaces.is_dir() else ()


def wait_for_link(
    mac: str,
    *,
    interfaces: Path = INTERFACES,
    wait_s: float = LINK_WAIT_S,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the NIC with `mac` has a carrier.

    Raises initialization/link-down after `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    while not _physical(interfaces).get(mac, False):
        if time.monotonic() >= deadline:
            raise TridentError(
                Kind.INITIALIZATION,
                LINK_DOWN,
                f"the network interface {mac} has no link after {wait_s:g} s",
                hint="check the cable and the switch port (spanning tree: enable PortFast)",
            )
        pause(_POLL_S)


def _physical(interfaces: Path) -> dict[str, bool]:
    """MAC address -> carrier, of the interfaces that are devices."""
    found: dict[str, bool] = {}
    for entry in sorted(interfaces.iterdir()):
        if (entry / "device").exists():
            found[(entry / "address").read_text().strip().lower()] = _carrier(entry)
    return found


def _carrier(entry: Path) -> bool:
    try:
        return (entry / "carrier").read_text().strip() == "1"
    except OSError:  # an interface that is down has no readable carrier (EINVAL)
        return False
