"""What may be embedded into a medium, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.cosi.source import FileSource
from agent.medium import layout
from iso_builder.medium import embed
from iso_builder.medium.embed import Configuration
from tests.kit.medium import IMAGE, configuration, cosi, image_of


def refusal(path: Path, digests: dict[str, str]) -> TridentError:
    with pytest.raises(TridentError) as caught:
        embed.check_configurations([Configuration(None, path)], digests)
    return caught.value


def test_a_configuration_of_an_embedded_image_is_taken_as_it_is(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    digests = embed.digests([cosi(tmp_path)])
    checked = embed.check_configurations([Configuration(None, path)], digests)
    assert checked.texts == {layout.CONFIGURATION: path.read_bytes()}
    assert not checked.needs_address
    embed.require_fit([Configuration(None, path)], lambda name: FileSource(tmp_path / name))


def test_the_digest_that_the_configuration_names_must_be_that_of_the_image(tmp_path: Path) -> None:
    digests = dict(embed.digests([cosi(tmp_path)]))
    right = configuration(tmp_path, image=image_of(layout.image_url(IMAGE), digests[IMAGE]))
    assert embed.check_configurations([Configuration(None, right)], digests).texts
    wrong = configuration(tmp_path, image=image_of(layout.image_url(IMAGE), "0" * 96))
    error = refusal(wrong, digests)
    assert error.code == "image-digest"
    assert digests[IMAGE] in error.message


@pytest.mark.parametrize(
    "url",
    ["file:///images/os.cosi", layout.image_url("sub/os.cosi"), layout.image_url("other.cosi")],
)
def test_an_image_that_would_not_be_on_the_medium_is_refused(tmp_path: Path, url: str) -> None:
    error = refusal(configuration(tmp_path, image=image_of(url)), {IMAGE: "0" * 96})
    assert error.code == "image-not-embedded"
    assert layout.image_url("NAME.cosi") in (error.hint or "")


def test_a_streamed_image_needs_an_address_unless_the_configuration_brings_a_network(
    tmp_path: Path,
) -> None:
    streamed = image_of("http://192.0.2.1/os.cosi")
    network = {"netplan": {"version": 2, "ethernets": {"eth0": {"dhcp4": True}}}}
    plain = configuration(tmp_path, "plain.yaml", image=streamed)
    own = configuration(tmp_path, "own.yaml", image=streamed, managementOs=network)
    assert embed.check_configurations([Configuration(None, plain)], {}).needs_address
    assert not embed.check_configurations([Configuration(None, own)], {}).needs_address


def test_a_configuration_that_the_rules_refuse_is_not_embedded(tmp_path: Path) -> None:
    error = refusal(configuration(tmp_path, os={"hostname": "-bad-"}), {IMAGE: "0" * 96})
    assert "hostname" in error.message
    assert "config.yaml" in error.context[-1]


def test_a_configuration_without_an_image_installs_nothing_and_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("os: {hostname: node1}\n")
    assert refusal(path, {}).code in ("image-not-embedded", "invalid-host-configuration-static")


def test_an_image_that_does_not_fit_the_configuration_is_found_out_before(tmp_path: Path) -> None:
    cosi(tmp_path)
    path = configuration(tmp_path, root_size="4K")
    with pytest.raises(TridentError) as caught:
        embed.require_fit([Configuration(None, path)], lambda name: FileSource(tmp_path / name))
    assert caught.value.code == "filesystem-size-exceeds-block-device"


def test_machines_are_named_by_address_serial_number_or_uuid() -> None:
    assert embed.machine_name("52:54:00:AB:00:01") == "52-54-00-ab-00-01"
    assert embed.machine_name("52-54-00-ab-00-01") == "52-54-00-ab-00-01"
    assert embed.machine_name("CZ1234.A") == "cz1234.a"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-x", "ä"])
def test_what_names_no_machine_is_refused(name: str) -> None:
    with pytest.raises(TridentError) as caught:
        embed.machine_name(name)
    assert caught.value.code == "machine-name"


def test_two_configurations_for_one_machine_are_refused(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    twice = [Configuration(name, path) for name in ("52:54:00:00:00:01", "52-54-00-00-00-01")]
    with pytest.raises(TridentError) as caught:
        embed.check_configurations(twice, {IMAGE: "0" * 96})
    assert caught.value.code == "machine-name"


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.cosi").write_bytes(b"no image")
    with pytest.raises(TridentError) as caught:
        embed.digests([tmp_path / "x.cosi"])
    assert caught.value.code == "corrupt-os-image"
