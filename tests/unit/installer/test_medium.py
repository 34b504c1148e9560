"""What a mounted medium holds. The reserved areas are those that trident-iso writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.medium import layout, overlay
from installer import medium
from installer.cmdline import BootParameters
from installer.shelves import Shelf
from tests.kit.medium import configuration


@pytest.fixture(name="root")
def mounted_medium(tmp_path: Path) -> Path:
    (tmp_path / "trident/configs").mkdir(parents=True)
    (tmp_path / layout.CONFIGURATION).write_bytes(b"built")
    (tmp_path / layout.OVERLAY).write_bytes(bytes(layout.OVERLAY_BYTES))
    return tmp_path


def embed(root: Path, files: dict[str, bytes]) -> None:
    (root / layout.OVERLAY).write_bytes(overlay.encode(files, layout.OVERLAY_BYTES))


def test_an_untouched_area_holds_nothing(root: Path) -> None:
    later, built = medium.on_medium(root)
    assert later.files == {}
    assert built.files == {"config.yaml": b"built"}


def test_what_was_embedded_later_is_found_before_what_was_built_in(root: Path) -> None:
    own = f"{layout.CONFIGURATIONS}/cz1.yaml"
    embed(root, {layout.CONFIGURATION: b"later", own: b"own", "menu.json": b"{}"})
    later, built = medium.on_medium(root)
    assert later.files == {"config.yaml": b"later", "configs/cz1.yaml": b"own"}
    assert built.files == {"config.yaml": b"built"}


def test_machines_own_configurations_are_found_on_the_medium(root: Path) -> None:
    (root / layout.CONFIGURATIONS / "cz1.yaml").write_bytes(b"own")
    (root / layout.CONFIGURATIONS / "notes.txt").write_bytes(b"no")
    *_, built = medium.on_medium(root)
    assert built.files == {"config.yaml": b"built", "configs/cz1.yaml": b"own"}


def test_a_medium_without_reserved_area_is_one_as_well(root: Path) -> None:
    (root / layout.OVERLAY).unlink()
    (built,) = medium.on_medium(root)
    assert built.files == {"config.yaml": b"built"}


def test_a_damaged_area_is_reported_and_not_taken_for_an_empty_one(root: Path) -> None:
    embed(root, {layout.CONFIGURATION: b"later"})
    area = bytearray((root / layout.OVERLAY).read_bytes())
    area[3] ^= 1
    (root / layout.OVERLAY).write_bytes(area)
    with pytest.raises(TridentError) as caught:
        list(medium.on_medium(root))
    assert caught.value.identifier == "initialization/medium-unreadable"


def test_the_machine_is_known_by_its_addresses_serial_number_and_uuid(tmp_path: Path) -> None:
    nic, smbios = tmp_path / "net/eth0", tmp_path / "dmi"
    (nic / "device").mkdir(parents=True)
    (nic / "address").write_text("52:54:00:AB:00:01\n")
    smbios.mkdir()
    (smbios / "product_serial").write_text("CZ1234\n")
    names = medium.names(tmp_path / "net", smbios)
    assert names == {"52-54-00-ab-00-01", "cz1234"}
    assert medium.names(tmp_path / "none", tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        (b"os:\n  hostnam: x\n", "invalid-input/parse-host-configuration"),
        (b"\xff", "invalid-input/parse-host-configuration"),
        (b"os: {hostname: -bad-}\n", "invalid-input/invalid-host-configuration-static"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused_with_its_place(
    text: bytes, identifier: str
) -> None:
    shelf = Shelf("the stick /dev/sdb1", {"config.yaml": text})
    with pytest.raises(TridentError) as caught:
        medium.accepted(BootParameters(medium="TRIDENT_1"), [shelf], frozenset())
    assert caught.value.identifier == identifier
    assert "config.yaml of the stick /dev/sdb1" in caught.value.context[-1]


def test_a_configuration_that_the_rules_accept_is_taken(tmp_path: Path) -> None:
    text = configuration(tmp_path).read_bytes()
    shelf = Shelf("the medium", {"config.yaml": text})
    found = medium.accepted(BootParameters(medium="TRIDENT_1"), [shelf], frozenset())
    assert found.text == text
