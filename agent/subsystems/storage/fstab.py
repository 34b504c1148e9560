"""/etc/fstab of the target: rewritten whole from the Host Configuration. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.linux import files

_HEADER = "# Written by Trident from the Host Configuration; changes are lost at the next update.\n"
_ESCAPES = {"\\": "\\134", " ": "\\040", "\t": "\\011", "\n": "\\012", "#": "\\043"}
ROOT_PASS, OTHER_PASS, NO_PASS = 1, 2, 0


@dataclass(frozen=True)
class Entry:
    """One line. `check_pass` is fsck's: 1 for /, 2 for others, 0 for what is never checked."""

    source: str
    target: str
    type: str
    options: Sequence[str]
    check_pass: int


def mount(source: str, target: str, type: str, options: Sequence[str]) -> Entry:
    """The entry of a file system on a block device."""
    return Entry(source, target, type, options, ROOT_PASS if target == "/" else OTHER_PASS)


def virtual(type: str, target: str, options: Sequence[str]) -> Entry:
    """The entry of a file system without a device (tmpfs, overlay)."""
    return Entry(type, target, type, options, NO_PASS)


def swap(source: str) -> Entry:
    """The entry of a swap area."""
    return Entry(source, "none", "swap", ("sw",), NO_PASS)


def render(entries: Sequence[Entry]) -> str:
    """The text of fstab: parents before what is mounted below them, then swap."""
    ordered = sorted(entries, key=lambda entry: (entry.type == "swap", entry.target))
    return _HEADER + "".join(_line(entry) for entry in ordered)


def write(entries: Sequence[Entry], root: Path) -> None:
    """Replace /etc/fstab of the system below `root`."""
    files.write(root / "etc/fstab", render(entries), mode=0o644)


def _line(entry: Entry) -> str:
    options = ",".join(entry.options) or "defaults"
    words = (entry.source, entry.target, entry.type, options, "0", str(entry.check_pass))
    return " ".join(_escaped(word) for word in words) + "\n"


def _escaped(word: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in word)
