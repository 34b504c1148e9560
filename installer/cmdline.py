"""What the kernel command line tells the installer. Pure.

docs/architecture.md explains the parameters: `trident.server=URL`, `trident.medium=LABEL`,
`trident.reinstall`, and PXELINUX's `BOOTIF=01-aa-bb-cc-dd-ee-ff` (hardware type 1, then the MAC
address).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.api.errors import Kind, TridentError

_BOOTIF = re.compile(r"01((?:[-:][0-9a-fA-F]{2}){6})")


@dataclass(frozen=True)
class BootParameters:
    """`server` is the boot server's base URL without a trailing slash; `mac` the boot NIC."""

    server: str | None = None
    mac: str | None = None
    medium: str | None = None
    """Label of the medium that the machine was booted from."""
    reinstall: bool = False
    """An operator wants what this medium did before to be done again."""


def parse(text: str) -> BootParameters:
    """Read /proc/cmdline. The last of a repeated parameter wins.

    Raises initialization/read-cmdline for a value that cannot be meant.
    """
    values = dict(word.split("=", 1) for word in text.split() if "=" in word)
    return BootParameters(
        server=_server(values.get("trident.server")),
        mac=_mac(values.get("BOOTIF")),
        medium=values.get("trident.medium"),
        reinstall="trident.reinstall" in text.split(),
    )


def _server(value: str | None) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _unusable(f"trident.server={value} is not an http or https URL")
    return value.rstrip("/")


def _mac(value: str | None) -> str | None:
    if not value:
        return None
    match = _BOOTIF.fullmatch(value)
    if match is None:
        raise _unusable(f"BOOTIF={value} is not 01- and a MAC address")
    return match[1][1:].lower().replace("-", ":")


def _unusable(message: str) -> TridentError:
    return TridentError(
        Kind.INITIALIZATION,
        "read-cmdline",
        message,
        hint="correct the kernel arguments of this machine on the boot server",
    )
