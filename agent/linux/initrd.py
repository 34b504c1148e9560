"""The initrds of a target system: what goes into them, and making them anew with its own tools."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import Result, run

INPUTS = (
    "etc/crypttab",
    "etc/lvm",
    "etc/mdadm",
    "etc/mdadm.conf",
    "etc/modprobe.d",
    "etc/systemd/network/*.link",
    "etc/udev",
)
"""What every tool copies or reads, as far as it can differ between two hosts."""
_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class Tool:
    """A program that makes initrds."""

    program: str
    options: tuple[str, ...] = ()
    debug: tuple[str, ...] = ()
    """Options that make it say what it does."""
    inputs: tuple[str, ...] = ()
    """What it copies or reads beside INPUTS: files, folders or patterns, relative to a root."""


def fingerprint(root: Path, tool: Tool | None) -> str:
    """A hash over the names, modes and contents of what goes into the initrds below `root`."""
    digest = hashlib.sha256()
    for path in _files(root, (*INPUTS, *(tool.inputs if tool else ()))):
        state = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        digest.update(f"{path.relative_to(root)}\0{state.st_mode:o}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def find(root: Path, tools: Sequence[Tool]) -> Tool | None:
    """The first of `tools` that the system below `root` has."""
    for tool in tools:
        if any((root / folder / tool.program).is_file() for folder in ("usr/sbin", "usr/bin")):
            return tool
    return None


def regenerate(root: Path, tool: Tool, more: Sequence[str] = ()) -> Result:
    """Make all initrds of the system below `root` anew. Needs /dev, /proc and /sys there.

    `more` are options beside the tool's own, such as `tool.debug`. Raises command-failed.
    """
    command = [tool.program, *more, *tool.options]
    return run(command, chroot=root, timeout_s=_TIMEOUT_S, merge_stderr=True)


def _files(root: Path, patterns: Sequence[str]) -> Iterator[Path]:
    for pattern in patterns:
        for top in sorted(root.glob(pattern)):
            found = sorted(top.rglob("*")) if top.is_dir() and not top.is_symlink() else [top]
            yield from (path for path in found if path.is_symlink() or path.is_file())
