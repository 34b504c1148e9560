"""Upstream's placeholders: files of an ISO image that are overwritten in place by a payload.

A placeholder is one line: a magic word (`#` and 64 hexadecimal digits), `:`, the path that the file
will have, `:`, and `#` up to the line's end. What replaces it fills the same bytes: payload,
newline, `#` ..., newline; so the payload must be of a format that takes `#` for a comment. The
image's structure is not looked at.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from iso_builder.medium.rewrite import rewrite

_PLACEHOLDER = re.compile(rb"#[0-9a-f]{64}:([^\n:]{1,1024}):#*\n")


@dataclass(frozen=True)
class Placeholder:
    """One placeholder in an image: `size` bytes from `offset` on, its newline included."""

    path: str
    offset: int
    size: int


def find(image: Path) -> tuple[Placeholder, ...]:
    """All placeholders of an image that are still there, in their order. Raises iso-unreadable."""
    try:
        with (
            image.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return tuple(
                Placeholder(match[1].decode("utf-8", "replace"), match.start(), len(match[0]))
                for match in _PLACEHOLDER.finditer(data)
            )
    except (OSError, ValueError) as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "iso-unreadable",
            f"{image} cannot be read: {error}",
            hint="name an ISO image",
        ) from error


def filled(payload: bytes, size: int) -> bytes:
    """The bytes that replace a placeholder of `size` bytes. Raises overlay-too-large."""
    ended = payload if payload.endswith(b"\n") or not payload else payload + b"\n"
    room = size - len(ended)
    if room < 0:
        raise TridentError(
            Kind.INVALID_INPUT,
            "overlay-too-large",
            f"the file needs {len(ended)} bytes, the placeholder has room for {size}",
            hint="shorten the file, or build an image with a larger placeholder",
        )
    return ended if room == 0 else ended + b"#" * (room - 1) + b"\n"


def patch(image: Path, files: dict[str, bytes], target: Path) -> None:
    """Write a copy of `image` to `target` (which may be `image`) with placeholders replaced.

    `files` maps their paths to payloads. Raises no-placeholder, overlay-too-large,
    iso-unreadable, write-output-file.
    """
    found: dict[str, Placeholder] = {}
    for one in find(image):
        found.setdefault(one.path, one)
    for path in files:
        if path not in found:
            raise _missing(image, path, sorted(found))
    changes = {found[path].offset: filled(data, found[path].size) for path, data in files.items()}
    rewrite(image, changes, target)


def _missing(image: Path, path: str, known: list[str]) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "no-placeholder",
        f"{image} has no placeholder for {path}",
        hint=f"it has: {', '.join(known)}" if known else "it has none, or they were filled before",
    )
