"""Which of the Host Configurations at hand is for this machine. Pure.

A shelf is a place that holds some: a stick, what was embedded into the medium later, the medium
itself. A machine's own file (`configs/NAME.yaml`, named after a MAC address with dashes, its serial
number or its UUID) comes before the `config.yaml` for all; an earlier shelf comes before a later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.api.errors import Kind, TridentError

FOR_ALL = "config.yaml"
FOLDER = "configs"
_SUFFIX = ".yaml"


@dataclass(frozen=True)
class Shelf:
    """A place and its files: texts by their names, `config.yaml` and `configs/NAME.yaml`."""

    title: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Found:
    """The chosen text and where it was, for messages."""

    place: str
    text: bytes


def choose(shelves: Sequence[Shelf], machine: frozenset[str]) -> Found:
    """The Host Configuration of the machine with these names.

    Raises no-host-configuration, configuration-ambiguous.
    """
    for shelf in shelves:
        own = sorted(name for name in shelf.files if _subject(name) in machine)
        if len(own) > 1:
            raise TridentError(
                Kind.INITIALIZATION,
                "configuration-ambiguous",
                f"{shelf.title} has several Host Configurations for this machine: {', '.join(own)}",
                hint="leave one of them",
            )
        for name in (*own, FOR_ALL):
            if name in shelf.files:
                return Found(f"{name} of {shelf.title}", shelf.files[name])
    raise _nothing(shelves, machine)


def _subject(name: str) -> str | None:
    """The machine that a file is named after; None for other files."""
    folder, _, file = name.rpartition("/")
    return file.removesuffix(_SUFFIX).lower() if folder == FOLDER else None


def _nothing(shelves: Sequence[Shelf], machine: frozenset[str]) -> TridentError:
    others = sorted(name for shelf in shelves for name in shelf.files)
    seen = f"; there are {', '.join(others)}" if others else ""
    return TridentError(
        Kind.INITIALIZATION,
        "no-host-configuration",
        f"there is no Host Configuration for this machine ({', '.join(sorted(machine))}){seen}",
        hint="embed one into the medium (trident-iso customize --config), put config.yaml on a "
        "stick labelled TRIDENT-CFG, or boot with trident.server=URL",
    )
