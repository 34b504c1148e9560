from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from iso_builder.medium import placeholder

MAGIC = b"#" + b"0123456789abcdef" * 4


def line(path: str, size: int) -> bytes:
    head = MAGIC + b":" + path.encode() + b":"
    return head + b"#" * (size - len(head) - 1) + b"\n"


@pytest.fixture(name="image")
def image_with_placeholders(tmp_path: Path) -> Path:
    image = tmp_path / "upstream.iso"
    content = bytes(5000) + line("/etc/trident/config.yaml", 400) + b"between"
    image.write_bytes(content + line("/trident_cdrom/pre-trident-script.sh", 200) + bytes(99))
    return image


def test_placeholders_are_found_with_their_room(image: Path) -> None:
    found = placeholder.find(image)
    assert [(one.path, one.offset, one.size) for one in found] == [
        ("/etc/trident/config.yaml", 5000, 400),
        ("/trident_cdrom/pre-trident-script.sh", 5407, 200),
    ]


def test_a_payload_takes_the_bytes_of_its_placeholder_and_no_others(image: Path) -> None:
    before = image.read_bytes()
    target = image.with_name("out.iso")
    placeholder.patch(image, {"/etc/trident/config.yaml": b"os: {}"}, target)
    after = target.read_bytes()
    assert after[:5000] + after[5400:] == before[:5000] + before[5400:]
    assert after[5000:5400] == b"os: {}\n" + b"#" * 392 + b"\n"
    assert image.read_bytes() == before


def test_an_image_can_be_patched_in_place_and_then_only_elsewhere(image: Path) -> None:
    placeholder.patch(image, {"/etc/trident/config.yaml": b"os: {}"}, image)
    assert [one.path for one in placeholder.find(image)] == ["/trident_cdrom/pre-trident-script.sh"]
    with pytest.raises(TridentError) as caught:
        placeholder.patch(image, {"/etc/trident/config.yaml": b"os: {}"}, image)
    assert caught.value.code == "no-placeholder"
    assert "pre-trident-script.sh" in (caught.value.hint or "")


@pytest.mark.parametrize(("length", "padding"), [(19, b""), (18, b"\n"), (17, b"#\n"), (0, None)])
def test_any_payload_up_to_the_room_is_filled_to_its_end(length: int, padding: bytes) -> None:
    filled = placeholder.filled(b"x" * length, 20)
    assert len(filled) == 20
    assert filled.endswith(b"\n")
    if padding is not None:
        assert filled == b"x" * length + b"\n" + padding


def test_a_payload_that_is_too_large_is_refused_and_nothing_is_written(image: Path) -> None:
    target = image.with_name("out.iso")
    with pytest.raises(TridentError, match="401 bytes, the placeholder has room for 400") as caught:
        placeholder.patch(image, {"/etc/trident/config.yaml": b"x" * 400}, target)
    assert caught.value.code == "overlay-too-large"
    assert not target.exists()


def test_an_empty_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(TridentError) as caught:
        placeholder.find(tmp_path / "empty")
    assert caught.value.code == "iso-unreadable"
