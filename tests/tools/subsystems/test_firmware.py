"""Boot entries and variables on real UEFI firmware, with an ESP on a spare disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from agent.api.errors import TridentError
from agent.linux import block, bootvars, efibootmgr, efivars, repart, udev
from agent.linux.repart import Definition, Empty
from agent.subsystems.boot import firmware
from agent.subsystems.boot.firmware import Position, Target

pytestmark = pytest.mark.toolbox

ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"


@pytest.fixture(autouse=True)
def clean_firmware() -> Iterator[None]:
    before = bootvars.read()
    yield
    for entry in bootvars.read().entries:
        if entry.number not in {old.number for old in before.entries}:
            efibootmgr.delete(entry.number)
    efibootmgr.set_order(before.order)
    efivars.delete("BootNext", efivars.GLOBAL_GUID)


@pytest.fixture
def target() -> Target:
    disk = Path(os.environ["TRIDENT_TEST_DISK"])
    uuid = str(uuid4())
    definitions = [
        Definition("0fc63daf-8483-4772-8e79-3d69d8477de4", "first", str(uuid4()), 1 << 20),
        Definition(ESP_TYPE, "esp", uuid, 8 << 20),
    ]
    repart.apply(disk, definitions, empty=Empty.FORCE)
    esp = Path("/dev/disk/by-partuuid") / uuid
    udev.wait([esp])
    found = firmware.target_on(esp, "AZLA", "\\EFI\\AZLA\\bootx64.efi")
    assert (found.disk, found.partition_number, found.partition_uuid) == (disk, 2, uuid)
    return found


def test_an_install_is_booted_next_and_from_then_on(target: Target) -> None:
    before = bootvars.read()
    entry = firmware.install(target, Position.FIRST)
    after = bootvars.read()
    assert (entry.label, entry.loader, entry.partition_uuid) == (
        "AZLA",
        target.loader,
        target.partition_uuid,
    )
    assert (after.next, after.order) == (entry.number, (entry.number, *before.order))


def test_an_update_is_booted_next_but_stays_last(target: Target) -> None:
    first = firmware.install(target, Position.FIRST)
    other = replace(target, label="AZLB", loader="\\EFI\\AZLB\\bootx64.efi")
    second = firmware.install(other, Position.LAST)
    state = bootvars.read()
    assert state.next == second.number
    assert state.order[0] == first.number
    assert state.order[-1] == second.number


def test_a_side_that_is_overwritten_is_forgotten_also_as_the_next_boot(target: Target) -> None:
    first = firmware.install(target, Position.FIRST)
    other = replace(target, label="AZLB", loader="\\EFI\\AZLB\\bootx64.efi")
    firmware.install(other, Position.LAST)
    firmware.withdraw("AZLB")
    state = bootvars.read()
    assert state.next is None
    assert state.labelled("AZLB") == ()
    assert state.order[0] == first.number
    firmware.withdraw("AZLB")
    assert bootvars.read() == state


def test_a_committed_side_wins_over_the_other_one(target: Target) -> None:
    """F60: This machine was not booted by either: what is tried before both stays before both."""
    first = firmware.install(target, Position.FIRST)
    other = replace(target, label="AZLB", loader="\\EFI\\AZLB\\bootx64.efi")
    second = firmware.install(other, Position.LAST)
    earlier = bootvars.read().order[1:-1]
    efibootmgr.set_order([*earlier, first.number, second.number])
    firmware.prefer(other, "AZLA")
    assert bootvars.read().order == (*earlier, second.number, first.number)


def test_a_side_that_wins_already_stays_where_it_is(target: Target) -> None:
    """F60."""
    first = firmware.install(target, Position.FIRST)
    other = replace(target, label="AZLB", loader="\\EFI\\AZLB\\bootx64.efi")
    second = firmware.install(other, Position.LAST)
    before = bootvars.read().order
    firmware.prefer(target, "AZLB")
    assert bootvars.read().order == before == (first.number, *before[1:-1], second.number)


def test_an_entry_that_the_firmware_lost_is_made_again(target: Target) -> None:
    """F60."""
    firmware.prefer(target, "AZLB")
    state = bootvars.read()
    assert [entry.number for entry in state.labelled("AZLA")] == [state.order[0]]


def test_stale_entries_do_not_pile_up(target: Target) -> None:
    """F03, F60."""
    numbers = {firmware.install(target, Position.FIRST).number for _ in range(3)}
    state = bootvars.read()
    assert len(state.labelled("AZLA")) == 1
    assert len(set(state.order)) == len(state.order)
    assert set(state.order) & numbers == {state.labelled("AZLA")[0].number}


def test_a_variable_is_written_again_although_the_kernel_protects_it() -> None:
    for text in ("vmlinuz-100-azla0.efi", "vmlinuz-101-azlb0.efi"):
        efivars.write_loader_string("LoaderEntryDefault", text)
        assert efivars.read_loader_string("LoaderEntryDefault") == text
    efivars.delete("LoaderEntryDefault", efivars.LOADER_GUID)
    assert efivars.read_loader_string("LoaderEntryDefault") is None


def test_a_whole_disk_is_no_partition(target: Target) -> None:
    with pytest.raises(TridentError, match="is not a partition") as caught:
        block.partition_of(target.disk)
    assert caught.value.code == "get-partition-number"
