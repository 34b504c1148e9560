"""The firmware's boot variables, read from efivarfs. `parse_load_option` is pure.

Read here and not from efibootmgr's output: that has another form in every version, and runs file
name and optional data together. UEFI specification 2.10, sections 3.1.3 (EFI_LOAD_OPTION) and 10.3
(device paths).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from agent.linux import efivars

_VARIABLE = re.compile(rf"Boot([0-9A-F]{{4}})-{efivars.GLOBAL_GUID}", re.IGNORECASE)
_ACTIVE = 0x1
_MEDIA, _HARD_DRIVE, _FILE, _END = 0x04, 0x01, 0x04, 0x7F
_HARD_DRIVE_BYTES = 42
_GPT, _GUID_SIGNATURE = 2, 2


@dataclass(frozen=True)
class Entry:
    """One boot entry. `number` is four upper-case hexadecimal digits."""

    number: str
    label: str
    active: bool
    partition_uuid: str | None = None
    """PARTUUID of the EFI system partition it names, lower case."""
    loader: str | None = None
    """Path on that partition, with backslashes."""


@dataclass(frozen=True)
class State:
    """The firmware's boot variables."""

    current: str | None
    next: str | None
    order: tuple[str, ...]
    entries: tuple[Entry, ...]

    def labelled(self, label: str) -> tuple[Entry, ...]:
        """The entries with exactly this label."""
        return tuple(entry for entry in self.entries if entry.label == label)


def parse_load_option(number: str, value: bytes) -> Entry | None:
    """The entry in the value of a `Boot####` variable; None when it is malformed."""
    if len(value) < 6:
        return None
    attributes, path_length = struct.unpack_from("<IH", value)
    text = _characters(value[6:])
    end = 6 + 2 * (len(text) + 1)
    path = value[end : end + path_length]
    if end > len(value) or len(path) != path_length:
        return None
    nodes = tuple(_nodes(path))
    return Entry(
        number=number.upper(),
        label=text,
        active=bool(attributes & _ACTIVE),
        partition_uuid=_partition_uuid(nodes),
        loader=_loader(nodes),
    )


def parse_numbers(value: bytes | None) -> tuple[str, ...]:
    """The entry numbers in BootOrder, BootNext or BootCurrent; empty when it is not set."""
    if value is None:
        return ()
    return tuple(
        f"{number:04X}" for (number,) in struct.iter_unpack("<H", value[: len(value) & ~1])
    )


def read(directory: Path = efivars.DIRECTORY) -> State:
    """The boot variables as the firmware has them now; malformed entries are left out."""
    return State(
        current=_one("BootCurrent", directory),
        next=_one("BootNext", directory),
        order=parse_numbers(efivars.read("BootOrder", efivars.GLOBAL_GUID, directory)),
        entries=tuple(sorted(_entries(directory), key=lambda entry: entry.number)),
    )


def first(numbers: Iterable[str], order: Iterable[str]) -> tuple[str, ...]:
    """`order` with `numbers` moved (or added) to its front, in their given order."""
    front = tuple(dict.fromkeys(numbers))
    return front + tuple(number for number in order if number not in front)


def last(numbers: Iterable[str], order: Iterable[str]) -> tuple[str, ...]:
    """`order` with those of `numbers` that it lacks added at its end, in their given order."""
    return tuple(dict.fromkeys((*order, *numbers)))


def ahead(numbers: Iterable[str], others: Iterable[str], order: Iterable[str]) -> tuple[str, ...]:
    """`order` with each of `numbers` before the first of `others`.

    What is there already stays where it is; the rest goes directly in front, in the given order, or
    to the end when `order` has none of `others`.
    """
    known, behind = tuple(order), frozenset(others)
    limit = next((at for at, number in enumerate(known) if number in behind), len(known))
    moved = tuple(number for number in dict.fromkeys(numbers) if number not in known[:limit])
    return (*known[:limit], *moved, *(one for one in known[limit:] if one not in moved))


def _one(name: str, directory: Path) -> str | None:
    numbers = parse_numbers(efivars.read(name, efivars.GLOBAL_GUID, directory))
    return numbers[0] if numbers else None


def _entries(directory: Path) -> Iterator[Entry]:
    for path in directory.iterdir():
        found = _VARIABLE.fullmatch(path.name)
        if found is None:
            continue
        value = efivars.read(f"Boot{found[1]}", efivars.GLOBAL_GUID, directory)
        entry = parse_load_option(found[1], value) if value is not None else None
        if entry is not None:
            yield entry


def _characters(data: bytes) -> str:
    """The UTF-16 text in front of the first NUL character; all when there is none."""
    units = [data[at : at + 2] for at in range(0, len(data) - 1, 2)]
    end = units.index(b"\0\0") if b"\0\0" in units else len(units)
    return b"".join(units[:end]).decode("utf-16-le", "replace")


def _nodes(path: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The nodes of a device path: type, subtype, data. Stops at its end or at nonsense."""
    at = 0
    while at + 4 <= len(path):
        kind, subtype, length = struct.unpack_from("<BBH", path, at)
        if kind == _END or length < 4 or at + length > len(path):
            return
        yield kind, subtype, path[at + 4 : at + length]
        at += length


def _partition_uuid(nodes: Iterable[tuple[int, int, bytes]]) -> str | None:
    for kind, subtype, data in nodes:
        if (kind, subtype) == (_MEDIA, _HARD_DRIVE) and len(data) == _HARD_DRIVE_BYTES - 4:
            signature, table, signature_type = struct.unpack_from("<16sBB", data, 20)
            if (table, signature_type) == (_GPT, _GUID_SIGNATURE):
                return str(UUID(bytes_le=signature))
    return None


def _loader(nodes: Iterable[tuple[int, int, bytes]]) -> str | None:
    parts = [
        _characters(data) for kind, subtype, data in nodes if (kind, subtype) == (_MEDIA, _FILE)
    ]
    return "\\".join(parts).replace("\\\\", "\\") if parts else None
