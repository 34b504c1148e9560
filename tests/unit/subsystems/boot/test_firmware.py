"""What becomes of the firmware's boot entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.linux.bootvars import Entry, State
from agent.subsystems.boot import firmware
from agent.subsystems.boot.firmware import Position, Target

ESP = "e604aa2a-7138-4c47-8d07-b487a097b8c1"
LOADER = "\\EFI\\AZLA\\bootx64.efi"
TARGET = Target("AZLA", Path("/dev/vda"), 1, ESP, LOADER)

SETUP = Entry("0000", "UiApp", True)
OURS = Entry("0001", "AZLA", True, ESP, "\\EFI\\AZLA\\BOOTX64.EFI")
OTHER_SIDE = Entry("0002", "AZLB", True, ESP, "\\EFI\\AZLB\\bootx64.efi")
OLD_DISK = Entry("0003", "AZLA", True, "00000000-0000-4000-8000-000000000000", LOADER)
RENAMED = Entry("0004", "Linux Boot Manager", True, ESP, LOADER)


def state(*entries: Entry, order: tuple[str, ...] = (), next: str | None = None) -> State:
    return State(None, next, order, entries)


def test_entries_of_the_label_or_of_the_program_are_stale() -> None:
    """F60."""
    found = firmware.stale(state(SETUP, OURS, OTHER_SIDE, OLD_DISK, RENAMED), TARGET)
    assert found == (OURS, OLD_DISK, RENAMED)


def test_the_new_entry_is_told_from_what_was_there() -> None:
    assert firmware.created(state(SETUP), state(SETUP, OURS), TARGET) == OURS
    assert firmware.created(state(SETUP, OURS), state(SETUP, OURS), TARGET) is None
    assert firmware.created(state(SETUP), state(SETUP, OLD_DISK), TARGET) is None


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (Position.FIRST, ("0001", "0000", "0002")),
        (Position.LAST, ("0000", "0002", "0001")),
        (Position.UNCHANGED, ("0000", "0002")),
    ],
)
def test_an_install_comes_first_and_an_update_last(
    position: Position, expected: tuple[str, ...]
) -> None:
    assert firmware.ordered(("0000", "0002"), "0001", position) == expected


def test_an_entry_in_the_order_already_is_not_added_twice() -> None:
    assert firmware.ordered(("0000", "0001"), "0001", Position.FIRST) == ("0001", "0000")
    assert firmware.ordered(("0001", "0000"), "0001", Position.LAST) == ("0001", "0000")


def test_a_firmware_that_keeps_everything_has_no_problems() -> None:
    kept = state(SETUP, OURS, order=("0001", "0000", "0007"), next="0001")
    assert firmware.problems(kept, "0001", Position.FIRST) == ()
    assert firmware.problems(kept, "0001", Position.LAST) == ()


def test_everything_a_firmware_dropped_is_listed() -> None:
    """F60."""
    dropped = state(SETUP, order=("0000",))
    assert firmware.problems(dropped, "0001", Position.FIRST) == (
        "entry Boot0001 is gone",
        "BootNext is None, not 0001",
        "BootOrder is 0000, 0001 is not its first",
    )
    (missing,) = firmware.problems(state(OURS, order=("0000",), next="0001"), "0001", Position.LAST)
    assert missing == "BootOrder is 0000, without 0001"
    unchanged = state(OURS, order=(), next="0001")
    assert firmware.problems(unchanged, "0001", Position.UNCHANGED) == ()
