from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from installer import shelves
from installer.shelves import Shelf

MACHINE = frozenset({"52-54-00-00-00-01", "cz1234", "6f7d3c1e-5f0b-4e55-9f0e-2a1d7c0e77ab"})


def chosen(*at_hand: Shelf) -> bytes:
    return shelves.choose(at_hand, MACHINE).text


def test_the_file_for_all_is_taken_when_the_machine_has_none_of_its_own() -> None:
    shelf = Shelf("the medium", {"config.yaml": b"all", "configs/other.yaml": b"other"})
    assert chosen(shelf) == b"all"


@pytest.mark.parametrize("name", ["CZ1234", *sorted(MACHINE)])
def test_the_machines_own_file_comes_first_whatever_it_is_named_by(name: str) -> None:
    shelf = Shelf("the medium", {"config.yaml": b"all", f"configs/{name}.yaml": b"own"})
    assert chosen(shelf) == b"own"


def test_an_earlier_shelf_comes_before_a_later_one() -> None:
    stick = Shelf("the stick", {"config.yaml": b"stick"})
    medium = Shelf("the medium", {"configs/cz1234.yaml": b"medium"})
    assert chosen(stick, medium) == b"stick"
    assert chosen(Shelf("the stick", {}), medium) == b"medium"


def test_the_place_is_told() -> None:
    found = shelves.choose([Shelf("the stick /dev/sdb", {"configs/cz1234.yaml": b""})], MACHINE)
    assert found.place == "configs/cz1234.yaml of the stick /dev/sdb"


def test_two_files_for_the_machine_are_not_decided_by_chance() -> None:
    shelf = Shelf("x", {"configs/cz1234.yaml": b"", "configs/52-54-00-00-00-01.yaml": b""})
    with pytest.raises(TridentError, match="cz1234") as caught:
        chosen(shelf)
    assert caught.value.code == "configuration-ambiguous"


def test_without_any_the_machine_and_what_there_is_are_named() -> None:
    with pytest.raises(TridentError, match=r"52-54-00-00-00-01.*configs/other.yaml") as caught:
        chosen(Shelf("the medium", {"configs/other.yaml": b""}))
    assert caught.value.identifier == "initialization/no-host-configuration"
    assert "TRIDENT-CFG" in (caught.value.hint or "")
