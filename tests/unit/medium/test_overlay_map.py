"""The map beside an image: it covers every byte, and tells when image and map do not fit."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.medium import layout, overlay_map
from agent.medium.overlay_map import OverlayMap
from iso_builder.cli import main
from iso_builder.medium import customize, filesystem, mapping
from iso_builder.medium.customize import Order
from tests.kit.medium import medium


@pytest.fixture(name="iso")
def sample_medium(tmp_path: Path) -> Path:
    return medium(tmp_path, os_cosi="0" * 96)


def drawn(iso: Path) -> OverlayMap:
    return mapping.write(iso, customize.read(iso).built)


def verify(iso: Path, found: OverlayMap) -> None:
    descriptor = os.open(iso, os.O_RDONLY)
    try:
        overlay_map.verify(descriptor, found)
    finally:
        os.close(descriptor)


def test_it_names_the_image_and_every_piece_of_it(iso: Path) -> None:
    found = drawn(iso)
    data = iso.read_bytes()
    assert found.base.sha384 == hashlib.sha384(data).hexdigest()
    for piece in found.pieces:
        assert piece.sha384 == hashlib.sha384(data[piece.offset : piece.end]).hexdigest()
    names = {piece.name for piece in found.pieces if piece.name}
    assert names == {*layout.MUTABLE, layout.CHANGES, layout.CHANGES_SIGNATURE}
    places = filesystem.places(iso, [layout.OVERLAY])
    extent = found.extent(layout.OVERLAY)
    assert extent is not None
    assert (extent.offset, extent.size) == (places[layout.OVERLAY].offset, layout.OVERLAY_BYTES)


def test_what_is_written_is_read_again(iso: Path) -> None:
    found = drawn(iso)
    assert overlay_map.read(iso) == found
    verify(iso, found)


def test_a_flipped_bit_of_the_image_is_found_and_its_piece_named(iso: Path) -> None:
    found = drawn(iso)
    with iso.open("r+b") as stream:
        extent = found.extent(layout.GRUB_MENU)
        assert extent is not None
        stream.seek(extent.offset)
        stream.write(b"#")
    with pytest.raises(TridentError, match=r"boot/grub/grub\.cfg has another SHA-384") as caught:
        verify(iso, found)
    assert caught.value.code == "overlay-map-wrong"


@pytest.mark.parametrize("change", [{"version": 2}, {"pieces": []}, {"more": 1}])
def test_a_map_that_is_not_understood_is_refused(iso: Path, change: dict[str, object]) -> None:
    drawn(iso)
    path = overlay_map.beside(iso)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(TridentError) as caught:
        overlay_map.read(iso)
    assert caught.value.code == "overlay-map-wrong"


def test_more_than_a_place_holds_is_refused_with_both_sizes(iso: Path) -> None:
    found = drawn(iso)
    with pytest.raises(TridentError, match="needs 8193 bytes, the medium has room for 8192"):
        found.laid({layout.GRUB_MENU: b"x" * 8193})
    with pytest.raises(TridentError, match="no place for trident/other"):
        found.laid({"trident/other": b""})


def test_customizing_writes_the_map_of_what_came_out(iso: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.iso"
    customize.customize(iso, Order(arguments=("quiet",)), target)
    verify(target, overlay_map.read(target))


def test_the_command_writes_the_map_anew(iso: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", str(iso)]) == 0
    assert hashlib.sha384(iso.read_bytes()).hexdigest() in capsys.readouterr().out
    verify(iso, overlay_map.read(iso))
