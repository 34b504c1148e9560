"""Judges what was measured against what was listed and signed. Pure.

Without a public key digests alone are compared: damage is found, a forger is not. The base is what
a medium was built with; the overlay is what `customize` laid over it. The two are judged apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from agent.trust.contents import Changes, Contents, File, sha384
from agent.trust.keys import PublicKey


class Part(StrEnum):
    """What a finding is about."""

    BASE = "base"
    OVERLAY = "overlay"


class Problem(StrEnum):
    """What is wrong; stable, for programs."""

    ALTERED = "altered"
    MISSING = "missing"
    ADDED = "added"
    UNDESCRIBED = "undescribed"
    """Changed, and no description says what it should be."""
    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"
    SIGNATURE = "signature"
    """Signed by another key, or what was signed has changed."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and with which file."""

    part: Part
    name: str
    problem: Problem
    message: str


def read_contents(data: bytes) -> Contents | None:
    """The contents document; None when it cannot be understood."""
    try:
        return Contents.model_validate_json(data)
    except ValidationError:
        return None


def signature(
    part: Part, name: str, data: bytes, signed: bytes, key: PublicKey | None
) -> Iterator[Finding]:
    """Whether `key` signed a document; zeros and nothing are no signature. No key: no finding."""
    if key is None:
        return
    if not any(signed):
        message = f"{name} is not signed; a signature by {key.identity} was asked for"
        yield Finding(part, name, Problem.UNSIGNED, message)
    elif not key.signed(data, signed):
        message = f"the signature of {name} is not one of its content by {key.identity}"
        yield Finding(part, name, Problem.SIGNATURE, message)


def files(listed: Mapping[str, File], found: Mapping[str, File]) -> Iterator[Finding]:
    """Compare the files that should be there with those that are."""
    for name in sorted({*listed, *found}):
        if name not in found:
            yield Finding(Part.BASE, name, Problem.MISSING, f"{name} is missing")
        elif name not in listed:
            yield Finding(Part.BASE, name, Problem.ADDED, f"{name} is not in the list of contents")
        elif found[name] != listed[name]:
            yield Finding(
                Part.BASE, name, Problem.ALTERED, f"{name} is {_how(listed, found, name)}"
            )


@dataclass(frozen=True)
class Overlay:
    """What lies over a medium: each mutable area's digest as it is, and what describes them."""

    areas: Mapping[str, str]
    description: bytes
    signature: bytes
    name: str
    """Of the description, in messages."""


def overlay(
    contents: bytes, listed: Contents, found: Overlay, key: PublicKey | None
) -> Iterator[Finding]:
    """Judge the mutable areas: as built, or as described, and signed if that is asked for.

    `contents` is the text of the contents document `listed`.
    """
    built = {name: area.sha384 for name, area in listed.mutable.items()}
    if any(found.description):
        read = _read_changes(found.description)
        if read is None:
            message = f"{found.name} cannot be understood"
            yield Finding(Part.OVERLAY, found.name, Problem.UNREADABLE, message)
            return
        if read.contents != sha384(contents):
            message = f"{found.name} was written for another medium"
            yield Finding(Part.OVERLAY, found.name, Problem.ALTERED, message)
        yield from _areas(built | read.areas, found.areas, Problem.ALTERED)
    else:
        yield from _areas(built, found.areas, Problem.UNDESCRIBED)
    if found.areas == built and not any(found.description) and not any(found.signature):
        return
    if any(found.signature) or not listed.unsigned_changes:
        yield from signature(Part.OVERLAY, found.name, found.description, found.signature, key)


def _read_changes(description: bytes) -> Changes | None:
    """None for what this program did not write, to the last byte."""
    try:
        read = Changes.model_validate_json(description)
    except ValidationError:
        return None
    return read if read.dump() == description else None


def _areas(
    expected: Mapping[str, str], found: Mapping[str, str], problem: Problem
) -> Iterator[Finding]:
    said = "was changed, and nothing describes the change"
    for name, digest in sorted(expected.items()):
        if name not in found:
            yield Finding(Part.OVERLAY, name, Problem.MISSING, f"{name} is missing")
        elif found[name] != digest:
            is_altered = problem is Problem.ALTERED
            message = f"{name} {'is not what its description says' if is_altered else said}"
            yield Finding(Part.OVERLAY, name, problem, message)


def _how(listed: Mapping[str, File], found: Mapping[str, File], name: str) -> str:
    before, now = listed[name], found[name]
    if before.size != now.size:
        return f"altered: it has {now.size} bytes, not {before.size}"
    return "altered: its SHA-384 is not the one listed"
