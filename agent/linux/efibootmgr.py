"""UEFI boot entries by efibootmgr. `parse` is pure and reads the output of versions 16 to 18."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run

_ENTRY = re.compile(r"Boot([0-9A-Fa-f]{4})([* ]) ?(.*)")
_NUMBER = re.compile(r"Boot(Current|Next): ([0-9A-Fa-f]{4})")
_ORDER = re.compile(r"BootOrder: ([0-9A-Fa-f,]*)")
_PARTITION = re.compile(r"HD\((\d+),GPT,([0-9A-Fa-f-]{36}),")
_FILE_17 = re.compile(r"/File\(([^)]*)\)")
_FILE_18 = re.compile(r"/(\\[^\t]*)")


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


def parse(text: str) -> State:
    """The boot variables in efibootmgr's output. Unknown lines are skipped."""
    numbers: dict[str, str] = {}
    order: tuple[str, ...] = ()
    entries: list[Entry] = []
    for line in text.splitlines():
        if found := _NUMBER.fullmatch(line.strip()):
            numbers[found[1]] = found[2].upper()
        elif found := _ORDER.fullmatch(line.strip()):
            order = tuple(number.upper() for number in found[1].split(",") if number)
        elif found := _ENTRY.fullmatch(line):
            entries.append(_entry(found[1], found[2], found[3]))
    return State(numbers.get("Current"), numbers.get("Next"), order, tuple(entries))


def read() -> State:
    """The boot variables as the firmware has them now."""
    return parse(run(["efibootmgr", "--verbose"]).stdout)


def create(disk: Path, partition_number: int, label: str, loader: str) -> State:
    """Make an entry without adding it to BootOrder; returns the variables afterwards."""
    run(
        [
            "efibootmgr",
            "--create-only",
            "--disk",
            disk,
            "--part",
            str(partition_number),
            "--label",
            label,
            "--loader",
            loader,
        ]
    )
    return read()


def delete(number: str) -> None:
    """Delete one entry; efibootmgr takes it out of BootOrder too."""
    run(["efibootmgr", "--bootnum", number, "--delete-bootnum"])


def set_next(number: str) -> None:
    """Boot this entry once, at the next boot."""
    run(["efibootmgr", "--bootnext", number])


def set_order(order: Sequence[str]) -> None:
    """Set BootOrder; an empty one deletes the variable."""
    if order:
        run(["efibootmgr", "--bootorder", ",".join(order)])
    else:
        run(["efibootmgr", "--delete-bootorder"])


def first(numbers: Iterable[str], order: Sequence[str]) -> tuple[str, ...]:
    """`order` with `numbers` moved (or added) to its front, in their given order."""
    front = tuple(dict.fromkeys(numbers))
    return front + tuple(number for number in order if number not in front)


def last(numbers: Iterable[str], order: Sequence[str]) -> tuple[str, ...]:
    """`order` with those of `numbers` that it lacks added at its end, in their given order."""
    return tuple(order) + tuple(number for number in dict.fromkeys(numbers) if number not in order)


def _entry(number: str, mark: str, rest: str) -> Entry:
    label, _, device_path = rest.partition("\t")
    partition = _PARTITION.search(device_path)
    file = _FILE_17.search(device_path) or _FILE_18.search(device_path)
    return Entry(
        number=number.upper(),
        label=label,
        active=mark == "*",
        partition_uuid=partition[2].lower() if partition else None,
        loader=file[1] if file else None,
    )
