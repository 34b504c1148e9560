"""The firmware's boot variables: which entries there are and what is booted next.

`stale`, `created`, `ordered` and `problems` decide; `install` and `confirm` act in an order of
which every prefix boots either the old system or the complete new one: remove stale entries,
create the new one outside BootOrder, BootNext, BootOrder. What was written is read back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import block, bootvars, efibootmgr, efivars, probe
from agent.linux.bootvars import Entry, State

PROBE_BYTES = 1024
"""More than the variables that an installation adds take."""

log = logging.getLogger(__name__)


class Position(Enum):
    """Where a new entry goes in BootOrder."""

    FIRST = "first"
    """Clean install, rollback: boot it from now on."""
    LAST = "last"
    """Update on trial: only BootNext boots it; some firmware drops entries not in BootOrder."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Target:
    """What an entry boots: a program on an EFI system partition."""

    label: str
    disk: Path
    partition_number: int
    partition_uuid: str
    """Lower case."""
    loader: str
    """Path on the partition, with backslashes."""


def target_on(esp: Path, label: str, loader: str) -> Target:
    """The target on the ESP with the device node `esp`. Raises get-partition-number."""
    disk, number = block.partition_of(esp.resolve())
    uuid = probe.signature(esp).partition_uuid or ""
    return Target(label, disk, number, uuid.lower(), loader)


def stale(state: State, target: Target) -> tuple[Entry, ...]:
    """The entries that the new one replaces: same label, or same program on the same partition."""
    return tuple(
        entry for entry in state.entries if entry.label == target.label or _boots(entry, target)
    )


def created(before: State, after: State, target: Target) -> Entry | None:
    """The entry for `target` that `after` has and `before` had not; None when there is none."""
    known = {entry.number for entry in before.entries}
    return next(
        (
            entry
            for entry in after.entries
            if entry.number not in known and entry.label == target.label and _boots(entry, target)
        ),
        None,
    )


def ordered(order: tuple[str, ...], number: str, position: Position) -> tuple[str, ...]:
    """BootOrder with the entry `number` at its position."""
    match position:
        case Position.FIRST:
            return bootvars.first([number], order)
        case Position.LAST:
            return bootvars.last([number], order)
        case Position.UNCHANGED:
            return order


def problems(state: State, number: str, position: Position) -> tuple[str, ...]:
    """What the firmware did not keep of the new entry `number`; empty when all is well."""
    found = []
    if number not in {entry.number for entry in state.entries}:
        found.append(f"entry Boot{number} is gone")
    if state.next != number:
        found.append(f"BootNext is {state.next}, not {number}")
    if position is Position.FIRST and state.order[:1] != (number,):
        found.append(f"BootOrder is {','.join(state.order)}, {number} is not its first")
    if position is Position.LAST and number not in state.order:
        found.append(f"BootOrder is {','.join(state.order)}, without {number}")
    return tuple(found)


def require_writable() -> None:
    """Raise a clear error unless EFI variables exist and there is room for those of an install.

    Writes one variable and deletes it again.
    """
    efivars.require()
    efivars.require_space(PROBE_BYTES)


def install(target: Target, position: Position) -> Entry:
    """Make `target` the next boot, and its entry part of BootOrder; returns the entry.

    Raises create-boot-entry, update-boot-order.
    """
    before = bootvars.read()
    for old in stale(before, target):
        efibootmgr.delete(old.number)
    cleaned = bootvars.read()
    efibootmgr.create(target.disk, target.partition_number, target.label, target.loader)
    after = bootvars.read()
    entry = created(cleaned, after, target)
    if entry is None:
        raise TridentError(
            Kind.SERVICING,
            "create-boot-entry",
            f"the firmware did not keep the boot entry '{target.label}' for {target.loader} on "
            f"partition {target.partition_uuid}",
            hint="check the firmware's settings (boot entries may be locked) and its free "
            "variable space, then start again",
            fields={"label": target.label},
        )
    efibootmgr.set_next(entry.number)
    order = ordered(after.order, entry.number, position)
    if order != after.order:
        efibootmgr.set_order(order)
    wrong = problems(bootvars.read(), entry.number, position)
    if wrong:
        raise _order_error(wrong)
    return entry


def withdraw(label: str) -> None:
    """Make the firmware forget the entries of this label, also as the next boot.

    For a side that is about to be overwritten or was not booted. An entry that the running system
    was booted by is left alone.
    """
    state = bootvars.read()
    gone = [entry.number for entry in state.labelled(label) if entry.number != state.current]
    if state.next in gone:
        efibootmgr.clear_next()
    for number in gone:
        efibootmgr.delete(number)


def prefer(target: Target, other_label: str) -> None:
    """Make the entries of `target` win over those of `other_label` at every boot from now on.

    First of BootOrder when the machine was booted by one of them; else in front of the other's,
    where they are not: a machine that came here another way (network, then disk) keeps that way.
    A firmware that lost the entry gets it again. Raises create-boot-entry, update-boot-order.
    """
    state = bootvars.read()
    ours = [entry.number for entry in state.labelled(target.label)]
    if not ours:
        log.warning("the firmware has lost the boot entry '%s': it is made again", target.label)
        install(target, Position.FIRST)
        return
    if state.current in ours:
        confirm()
        return
    others = [entry.number for entry in state.labelled(other_label)]
    order = bootvars.ahead(ours, others, state.order)
    if order != state.order:
        efibootmgr.set_order(order)
        kept = bootvars.read().order
        if kept != order:
            raise _order_error((f"BootOrder is {','.join(kept)}, not {','.join(order)}",))


def confirm() -> Entry | None:
    """Make the entry that was booted, and others of its label, the first of BootOrder.

    None when the firmware does not say which one that was. Raises update-boot-order.
    """
    state = bootvars.read()
    current = next((entry for entry in state.entries if entry.number == state.current), None)
    if current is None:
        return None
    same = [current.number, *(entry.number for entry in state.labelled(current.label))]
    order = bootvars.first(same, state.order)
    if order != state.order:
        efibootmgr.set_order(order)
        kept = bootvars.read().order
        if kept[:1] != (current.number,):
            raise _order_error((f"BootOrder is {','.join(kept)} after it was set",))
    return current


def _boots(entry: Entry, target: Target) -> bool:
    return (
        entry.partition_uuid == target.partition_uuid
        and entry.loader is not None
        and entry.loader.casefold() == target.loader.casefold()
    )


def _order_error(wrong: tuple[str, ...]) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "update-boot-order",
        "the firmware did not keep the boot variables: " + "; ".join(wrong),
        hint="check that the firmware's settings let the operating system change the boot order",
    )
