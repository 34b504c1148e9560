"""The ISO file system, read back by pycdlib's parser."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pycdlib
import pytest

from agent.api.errors import TridentError
from iso_builder.medium import filesystem
from iso_builder.medium.filesystem import BootImages, Entry
from iso_builder.medium.piece import Piece

BOOT = BootImages("boot/isolinux/isolinux.bin", "boot/efi.img", "boot/boot.cat")
ENTRIES = (
    Entry("boot/efi.img", b"F" * 6000),
    Entry("boot/isolinux/isolinux.bin", bytes(40000)),
    Entry("images/a-long-name.of-an-image.cosi", b"one"),
    Entry("images/a-long-name.of-another.cosi", b"another"),
    Entry("trident/medium.json", b"{}"),
)
TIME_S = 1_700_000_000


def write(target: Path) -> dict[str, filesystem.Place]:
    return dict(filesystem.write(target, "TRIDENT_TEST", ENTRIES, BOOT, time_s=TIME_S))


@pytest.fixture(name="elsewhere")
def another_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_every_file_is_where_the_places_say(tmp_path: Path) -> None:
    places = write(tmp_path / "m.iso")
    data = (tmp_path / "m.iso").read_bytes()
    for entry in ENTRIES:
        if entry.name != BOOT.bios:
            place = places[entry.name]
            assert data[place.offset : place.offset + place.size] == entry.source


def test_places_are_found_again_in_a_written_image(tmp_path: Path) -> None:
    places = write(tmp_path / "m.iso")
    names = [entry.name for entry in ENTRIES]
    assert filesystem.places(tmp_path / "m.iso", [*names, "no/such"]) == places


def test_long_names_that_begin_alike_get_plain_names_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "m.iso")
    image = pycdlib.PyCdlib()
    image.open(str(tmp_path / "m.iso"))
    names = [child.file_identifier() for child in image.list_children(iso_path="/IMAGES")]
    image.close()
    assert names[2:] == [b"A_LONG_1.COS;1", b"A_LONG_N.COS;1"]


def test_bios_gets_isolinux_with_its_boot_information(tmp_path: Path) -> None:
    place = write(tmp_path / "m.iso")[BOOT.bios]
    data = (tmp_path / "m.iso").read_bytes()
    loader = data[place.offset : place.offset + place.size]
    words = [int.from_bytes(loader[at : at + 4], "little") for at in (8, 12, 16)]
    assert words == [16, place.offset // 2048, place.size]


def test_uefi_gets_the_whole_fat_image(tmp_path: Path) -> None:
    places = write(tmp_path / "m.iso")
    catalogue = filesystem.places(tmp_path / "m.iso", [BOOT.catalogue])[BOOT.catalogue]
    data = (tmp_path / "m.iso").read_bytes()
    section = data[catalogue.offset + 64 : catalogue.offset + 128]
    assert section[1] == 0xEF
    blocks = int.from_bytes(section[32 + 6 : 32 + 8], "little")
    block = int.from_bytes(section[32 + 8 : 32 + 12], "little")
    assert (block * 2048, blocks) == (places[BOOT.efi].offset, 12)


def test_the_same_entries_make_the_same_bytes_at_any_time_and_place(
    tmp_path: Path, elsewhere: None
) -> None:
    write(tmp_path / "there.iso")
    os.environ["TZ"] = "UTC"
    time.tzset()
    write(tmp_path / "here.iso")
    assert (tmp_path / "there.iso").read_bytes() == (tmp_path / "here.iso").read_bytes()


def test_the_clock_goes_on_afterwards(tmp_path: Path) -> None:
    write(tmp_path / "m.iso")
    assert vars(pycdlib.pycdlib)["time"] is time


@pytest.mark.parametrize("content", [b"", b"no image", bytes(40000)])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.iso"
    path.write_bytes(content)
    with pytest.raises(TridentError) as caught:
        filesystem.places(path, ["a"])
    assert caught.value.identifier == "invalid-input/iso-unreadable"


def test_a_file_in_an_image_is_a_source_like_any_other(tmp_path: Path) -> None:
    place = write(tmp_path / "m.iso")["images/a-long-name.of-another.cosi"]
    with Piece(tmp_path / "m.iso", place) as piece:
        assert piece.size == 7
        assert piece.read_at(2, 3) == b"oth"
        buffer = bytearray(10)
        with piece.open_range(3, 4) as stream:
            assert stream.readinto(memoryview(buffer)) == 4
            assert stream.readinto(memoryview(buffer)) == 0
        assert buffer[:4] == b"ther"
