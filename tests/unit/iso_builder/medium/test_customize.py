"""Changing a finished medium in place, and giving it back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.medium import layout
from agent.medium.menu import CONSOLES
from iso_builder.cli import main
from iso_builder.medium import customize, filesystem
from iso_builder.medium.customize import Order
from iso_builder.medium.embed import Configuration
from tests.kit.medium import configuration, image_of, medium

DIGEST = "0" * 96


@pytest.fixture(name="iso")
def sample_medium(tmp_path: Path) -> Path:
    return medium(tmp_path, os_cosi=DIGEST)


def embedded(path: Path, machine: str | None = None) -> Order:
    return Order(configurations=(Configuration(machine, path),))


def test_a_pristine_medium_is_known_as_such(iso: Path) -> None:
    state = customize.read(iso)
    assert state.is_pristine
    assert state.menu.arguments == CONSOLES


def test_only_the_reserved_area_and_the_menus_change(iso: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.iso"
    order = Order((Configuration(None, configuration(tmp_path)),), ("quiet",), 3)
    customize.customize(iso, order, target)
    before, after = bytearray(iso.read_bytes()), bytearray(target.read_bytes())
    assert len(before) == len(after)
    assert before != after
    for place in filesystem.places(iso, [*layout.MUTABLE, layout.CHANGES]).values():
        span = slice(place.offset, place.offset + place.size)
        assert before[span] != after[span]
        before[span] = after[span] = bytes(place.size)
    assert before == after


def test_what_was_embedded_is_shown_again_and_makes_the_medium_unattended(
    iso: Path, tmp_path: Path
) -> None:
    path = configuration(tmp_path)
    customize.customize(iso, embedded(path, "52:54:00:00:00:01"), iso)
    state = customize.read(iso)
    assert not state.is_pristine
    assert state.files == {"trident/configs/52-54-00-00-00-01.yaml": path.read_bytes()}
    assert state.menu.unattended
    menu = iso.read_bytes()
    assert b"set default=install" in menu


def test_later_changes_are_laid_over_earlier_ones(iso: Path, tmp_path: Path) -> None:
    customize.customize(iso, Order(arguments=("trident.server=http://192.0.2.1:8080",)), iso)
    customize.customize(iso, embedded(configuration(tmp_path)), iso)
    state = customize.read(iso)
    assert state.menu.arguments[0] == "trident.server=http://192.0.2.1:8080"
    assert set(state.files) == {layout.CONFIGURATION}


def test_a_configuration_that_streams_its_image_asks_for_an_address(
    iso: Path, tmp_path: Path
) -> None:
    path = configuration(tmp_path, image=image_of("http://192.0.2.1/os.cosi"))
    state = customize.customize(iso, embedded(path), tmp_path / "out.iso")
    assert "trident.dhcp" in state.menu.arguments


def test_reset_gives_back_the_original_bytes(iso: Path, tmp_path: Path) -> None:
    original = iso.read_bytes()
    order = Order((Configuration(None, configuration(tmp_path)),), ("a=b",), 5)
    customize.customize(iso, order, iso)
    assert iso.read_bytes() != original
    customize.reset(iso, iso)
    assert iso.read_bytes() == original


def test_a_configuration_for_another_image_is_refused_and_nothing_is_written(
    iso: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.iso"
    path = configuration(tmp_path, image=image_of(layout.image_url("os.cosi"), "1" * 96))
    with pytest.raises(TridentError) as caught:
        customize.customize(iso, embedded(path), target)
    assert caught.value.code == "image-digest"
    assert not target.exists()


def test_a_configuration_that_the_embedded_image_does_not_fit_is_refused(
    iso: Path, tmp_path: Path
) -> None:
    path = configuration(tmp_path, root_size="4K")
    with pytest.raises(TridentError) as caught:
        customize.customize(iso, embedded(path), iso)
    assert caught.value.code == "filesystem-size-exceeds-block-device"
    assert customize.read(iso).is_pristine


def test_too_much_is_refused_with_both_sizes(iso: Path, tmp_path: Path) -> None:
    files = [configuration(tmp_path, f"{number}.yaml") for number in range(3)]
    for path in files:
        path.write_text(path.read_text() + "#" * 400_000 + "\n")
    order = Order(tuple(Configuration(f"serial{path.stem}", path) for path in files))
    with pytest.raises(TridentError, match=r"needs 12\d{5} bytes, .* room for 1048576") as caught:
        customize.customize(iso, order, iso)
    assert caught.value.code == "overlay-too-large"
    assert customize.read(iso).is_pristine


def test_another_iso_image_is_no_medium_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "other.iso"
    entries = [filesystem.Entry(name, b"x") for name in ("boot/a.bin", "boot/b.img")]
    boot = filesystem.BootImages("boot/a.bin", "boot/b.img", "boot/c.cat")
    filesystem.write(path, "OTHER", entries, boot, time_s=0)
    with pytest.raises(TridentError, match="no installation medium") as caught:
        customize.read(path)
    assert caught.value.code == "iso-unreadable"


def test_the_command_shows_changes_and_resets(
    iso: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "out.iso")
    server = ["--server", "http://192.0.2.1:8080"]
    assert main(["customize", str(iso), "-o", target, *server]) == 0
    assert main(["customize", target, "--show"]) == 0
    shown = capsys.readouterr().out
    assert "trident.server=http://192.0.2.1:8080" in shown
    assert "no, customised" in shown
    assert main(["customize", target, "--reset", "-o", target]) == 0
    assert Path(target).read_bytes() == iso.read_bytes()


@pytest.mark.parametrize(
    "words",
    [["--kernel-arg", "quiet"], ["--reset"], ["--reset", "--kernel-arg", "quiet", "-o", "x"]],
)
def test_commands_that_do_not_say_what_to_do_are_refused(
    iso: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["customize", str(iso), *words]) == 1
    assert "invalid-input/command-line" in capsys.readouterr().err
