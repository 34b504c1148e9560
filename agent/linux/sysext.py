"""Merging extension images into the running system: systemd-sysext, systemd-confext."""

from __future__ import annotations

from agent.api.extensions import ExtensionKind
from agent.linux import json_output
from agent.linux.run import find, run

_TIMEOUT_S = 300.0


def available(kind: ExtensionKind) -> bool:
    """Whether this system has the program for images of this kind."""
    return find(kind.program) is not None


def refresh(kind: ExtensionKind) -> None:
    """Merge exactly the images of this kind that are there now; none: unmerge. In use or not."""
    run([kind.program, "refresh"], timeout_s=_TIMEOUT_S)


def merged(kind: ExtensionKind) -> frozenset[str]:
    """Names of the images of this kind that are merged. systemd leaves out what does not fit."""
    return parse_status(run([kind.program, "status", "--json=short"]).stdout, kind)


def parse_status(text: str, kind: ExtensionKind) -> frozenset[str]:
    """The names in `status --json=short`. Nothing merged is "none" before systemd 259."""
    for row in json_output.parse_list(kind.program, text):
        if row.text("hierarchy") == kind.hierarchy:
            return frozenset() if row.is_text("extensions") else frozenset(row.texts("extensions"))
    return frozenset()
