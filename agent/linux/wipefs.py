"""Erasing signatures of file systems, arrays and tables: wipefs. Never forced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.linux import json_output
from agent.linux.run import run


@dataclass(frozen=True)
class Signature:
    """One signature on a device."""

    type: str
    offset: str
    """In bytes, as wipefs prints it (hexadecimal)."""
    uuid: str | None


def parse(text: str) -> tuple[Signature, ...]:
    """The signatures in `wipefs --json` output; it prints nothing at all when there are none."""
    if not text.strip():
        return ()
    found = json_output.parse_object("wipefs", text).objects("signatures")
    return tuple(
        Signature(
            type=entry.required_text("type"),
            offset=entry.required_text("offset"),
            uuid=entry.text("uuid"),
        )
        for entry in found
    )


def signatures(device: Path) -> tuple[Signature, ...]:
    """The signatures on `device`. Writes nothing."""
    return parse(run(["wipefs", "--json", device]).stdout)


def erase(device: Path) -> None:
    """Erase every signature on `device`: its content can no longer be recognised.

    Raises command-failed when the device is in use.
    """
    run(["wipefs", "--all", "--quiet", device])
