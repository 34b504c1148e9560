"""Boot entries as EFI variables. The samples were read from OVMF after efibootmgr wrote them."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.linux import bootvars, efivars
from agent.linux.bootvars import Entry

UI_APP = "BwAAAAkBAAAsAFUAaQBBAHAAcAAAAAQHFADJvbh86/g0T6rqPuSvZRahBAYUACGqLEYUdgNFg26KtvRmIzF//wQA"
AZLA = (
    "BwAAAAEAAABeAEEAWgBMAEEAAAAEASoAAQAAAAAIAAAAAAAAAAACAAAAAAAqqgTmOHFHTI0HtIegl7jBAgIEBDAAXABF"
    "AEYASQBcAEEAWgBMAEEAXABiAG8AbwB0AHgANgA0AC4AZQBmAGkAAAB//wQA"
)


def write(directory: Path, name: str, content: bytes) -> None:
    (directory / f"{name}-{efivars.GLOBAL_GUID}").write_bytes(content)


def value(sample: str) -> bytes:
    return base64.b64decode(sample)[4:]


def test_an_entry_for_a_program_on_a_partition() -> None:
    assert bootvars.parse_load_option("0001", value(AZLA)) == Entry(
        number="0001",
        label="AZLA",
        active=True,
        partition_uuid="e604aa2a-7138-4c47-8d07-b487a097b8c1",
        loader="\\EFI\\AZLA\\bootx64.efi",
    )


def test_an_entry_of_the_firmware_itself_names_no_partition() -> None:
    assert bootvars.parse_load_option("0000", value(UI_APP)) == Entry("0000", "UiApp", True)


def test_optional_data_behind_the_path_is_not_part_of_the_loader() -> None:
    entry = bootvars.parse_load_option("0001", value(AZLA) + b"RC")
    assert entry is not None
    assert entry.loader == "\\EFI\\AZLA\\bootx64.efi"


def test_a_truncated_entry_is_none() -> None:
    whole = value(AZLA)
    assert [bootvars.parse_load_option("0001", whole[:n]) for n in range(len(whole))] == [
        None
    ] * len(whole)


@given(st.binary(max_size=300))
def test_no_bytes_of_a_firmware_make_the_parser_fail(data: bytes) -> None:
    entry = bootvars.parse_load_option("00AB", data)
    assert entry is None or entry.number == "00AB"


@given(st.lists(st.integers(0, 0xFFFF)))
def test_numbers_are_read_as_they_were_stored(numbers: list[int]) -> None:
    stored = b"".join(struct.pack("<H", number) for number in numbers)
    assert bootvars.parse_numbers(stored) == tuple(f"{number:04X}" for number in numbers)


def test_the_state_is_read_from_the_variables(tmp_path: Path) -> None:
    write(tmp_path, "Boot0000", base64.b64decode(UI_APP))
    write(tmp_path, "Boot0001", base64.b64decode(AZLA))
    write(tmp_path, "Boot0002", b"\x07\0\0\0\x01")
    write(tmp_path, "BootOrder", base64.b64decode("BwAAAAEAAAA="))
    write(tmp_path, "BootNext", base64.b64decode("BwAAAAEA"))
    write(tmp_path, "BootOptionSupport", b"\x06\0\0\0\x03\0\0\0")
    state = bootvars.read(tmp_path)
    assert (state.current, state.next, state.order) == (None, "0001", ("0001", "0000"))
    assert [entry.label for entry in state.entries] == ["UiApp", "AZLA"]
    assert [entry.number for entry in state.labelled("AZLA")] == ["0001"]


def test_moving_to_the_front_keeps_the_rest_in_order() -> None:
    assert bootvars.first(["0003", "0001"], ["0000", "0001", "0002"]) == (
        "0003",
        "0001",
        "0000",
        "0002",
    )


def test_adding_at_the_end_leaves_what_is_there_alone() -> None:
    assert bootvars.last(["0003", "0001"], ["0000", "0001"]) == ("0000", "0001", "0003")


def test_moving_ahead_of_others_leaves_what_is_tried_before_them() -> None:
    order = ["0009", "0000", "0002", "0001"]
    assert bootvars.ahead(["0001"], ["0000"], order) == ("0009", "0001", "0000", "0002")
    assert bootvars.ahead(["0001"], ["0007"], order) == ("0009", "0000", "0002", "0001")
    assert bootvars.ahead(["0005"], ["0000"], order) == ("0009", "0005", "0000", "0002", "0001")


def test_what_is_ahead_of_others_already_stays_where_it_is() -> None:
    order = ("0005", "0002", "0009", "0006", "0007")
    assert bootvars.ahead(["0005"], ["0006"], order) == order
    assert bootvars.ahead(["0005"], [], order) == order
    moved = ("0005", "0002", "0009", "0007", "0006")
    assert bootvars.ahead(["0005", "0007"], ["0006"], order) == moved
