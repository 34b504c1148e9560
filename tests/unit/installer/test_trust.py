"""A medium as the installer sees it: mounted, and compared with its list before it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api import load
from agent.api.errors import TridentError
from agent.cosi.reader import open_image
from agent.cosi.source import open_source
from agent.medium import layout
from agent.trust import contents, keys
from agent.trust.keys import SigningKey
from installer import trust
from iso_builder.medium import customize, seal
from iso_builder.medium.build import Trust
from iso_builder.medium.embed import Configuration
from tests.kit import medium as samples
from tests.unit.cosi.images import cosi_bytes, metadata_of, sample_pieces

KEY = keys.generate()


def mounted(image: Path, root: Path) -> Path:
    """The files of an image in a folder, as a mount shows them."""
    data = image.read_bytes()
    for name, places in seal.places(image).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(data[one.offset : one.offset + one.size] for one in places))
    return root


@pytest.fixture(name="place")
def folder_for_media(tmp_path: Path) -> Path:
    (tmp_path / "trusted.pub").write_bytes(KEY.public.pem())
    (tmp_path / "parts").mkdir()
    return tmp_path


def built(place: Path, signer: SigningKey | None = KEY, *, unsigned_changes: bool = False) -> Path:
    with open_source(samples.cosi(place).as_uri()) as source:
        digest = open_image(source, None).metadata_sha384
    trusted = Trust(signer, unsigned_changes)
    return samples.medium(place / "parts", trust=trusted, os_cosi=digest)


def changed(image: Path, place: Path, key: SigningKey | None) -> Path:
    order = customize.Order((Configuration(None, samples.configuration(place)),))
    customize.customize(image, order, image, key)
    return image


def check(place: Path, root: Path, *, trusting: bool = True) -> list[str]:
    said: list[str] = []
    trust.require_trusted(root, said.append, place / ("trusted.pub" if trusting else "none"))
    return said


def refusal(place: Path, root: Path, *, trusting: bool = True) -> str:
    with pytest.raises(TridentError) as caught:
        check(place, root, trusting=trusting)
    assert caught.value.identifier == "initialization/medium-untrusted"
    return caught.value.message


def test_a_signed_medium_is_trusted_by_its_key(place: Path) -> None:
    root = mounted(built(place), place / "root")
    assert check(place, root) == [
        f"the medium agrees with its list of contents, signed by {KEY.public.identity}"
    ]


def test_without_a_key_digests_are_compared_and_that_is_said(place: Path) -> None:
    root = mounted(built(place, None), place / "root")
    assert check(place, root, trusting=False) == [
        "the medium agrees with its list of contents; nobody signed it"
    ]
    (root / layout.DESCRIPTION).write_bytes(b"{}")
    assert f"{layout.DESCRIPTION} is altered" in refusal(place, root, trusting=False)


@pytest.mark.parametrize("signer", [None, keys.generate()])
def test_a_medium_that_is_not_signed_by_the_trusted_key_is_refused(
    place: Path, signer: SigningKey | None
) -> None:
    root = mounted(built(place, signer), place / "root")
    assert layout.CONTENTS in refusal(place, root)


def test_a_medium_without_its_list_is_refused_even_where_nobody_signs(place: Path) -> None:
    root = mounted(built(place, None), place / "root")
    (root / layout.CONTENTS).unlink()
    assert "missing or cannot be understood" in refusal(place, root, trusting=False)


def test_a_configuration_that_was_slipped_in_is_refused_by_its_name(place: Path) -> None:
    root = mounted(built(place), place / "root")
    (root / layout.CONFIGURATIONS).mkdir()
    (root / layout.CONFIGURATIONS / "cz1.yaml").write_text("os: {}\n")
    message = refusal(place, root)
    assert "trident/configs/cz1.yaml is not in the list of contents" in message


def test_changes_are_trusted_when_the_same_key_signed_them(place: Path) -> None:
    root = mounted(changed(built(place), place, KEY), place / "root")
    assert len(check(place, root)) == 1


@pytest.mark.parametrize("signer", [None, keys.generate()])
def test_changes_of_a_signed_medium_by_anybody_else_are_refused(
    place: Path, signer: SigningKey | None
) -> None:
    root = mounted(changed(built(place), place, signer), place / "root")
    assert layout.CHANGES in refusal(place, root)


def test_a_medium_may_allow_changes_that_nobody_signed_but_no_damage(place: Path) -> None:
    image = changed(built(place, unsigned_changes=True), place, None)
    root = mounted(image, place / "root")
    assert len(check(place, root)) == 1
    area = bytearray((root / layout.OVERLAY).read_bytes())
    area[700] ^= 1
    (root / layout.OVERLAY).write_bytes(area)
    assert f"{layout.OVERLAY} is not what its description says" in refusal(place, root)


def test_what_a_boot_server_lays_over_without_a_word_needs_a_medium_that_allows_it(
    place: Path,
) -> None:
    for number, (signer, is_allowed) in enumerate(((KEY, True), (None, True), (KEY, False))):
        (place / "parts").mkdir(exist_ok=True)
        allows = signer is not None and is_allowed
        image = changed(built(place, signer, unsigned_changes=allows), place, None)
        root = mounted(image, place / str(number))
        (root / layout.CHANGES).write_bytes(bytes(contents.CHANGES_BYTES))
        if is_allowed:
            assert len(check(place, root, trusting=signer is not None)) == 1
        else:
            assert "nothing describes the change" in refusal(place, root)


def test_signed_changes_of_one_medium_do_not_fit_another(place: Path) -> None:
    first = mounted(changed(built(place), place, KEY), place / "first")
    (place / "parts").rename(place / "earlier")
    (place / "parts").mkdir()
    second = mounted(built(place, unsigned_changes=True), place / "second")
    for name in (*layout.MUTABLE, layout.CHANGES, layout.CHANGES_SIGNATURE):
        (second / name).write_bytes((first / name).read_bytes())
    assert "written for another medium" in refusal(place, second)


def test_an_image_is_compared_with_the_description_of_the_medium(place: Path) -> None:
    root = mounted(built(place), place / "root")
    image = root / layout.IMAGES / samples.IMAGE
    text = samples.configuration(place, image=samples.image_of(image.as_uri())).read_bytes()
    configuration = load.load_document(text).configuration
    trust.require_image(root, configuration)
    image.write_bytes(cosi_bytes(metadata=metadata_of(sample_pieces()) | {"osArch": "arm64"}))
    with pytest.raises(TridentError, match=r"os\.cosi is not an image that the medium") as caught:
        trust.require_image(root, configuration)
    assert caught.value.code == "medium-untrusted"


def test_an_image_that_is_fetched_is_none_of_the_medium(place: Path) -> None:
    text = samples.configuration(place, image=samples.image_of("http://192.0.2.1/os.cosi"))
    trust.require_image(place, load.load_document(text.read_bytes()).configuration)
