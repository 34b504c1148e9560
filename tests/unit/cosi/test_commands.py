"""`trident-iso cosi inspect|verify|extract`, run as an operator would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iso_builder.cli import main
from tests.unit.cosi import images


@pytest.fixture
def cosi(tmp_path: Path) -> Path:
    file = tmp_path / "image.cosi"
    file.write_bytes(images.cosi_bytes())
    return file


def written(tmp_path: Path, data: bytes) -> str:
    file = tmp_path / "altered.cosi"
    file.write_bytes(data)
    return str(file)


def findings(capsys: pytest.CaptureFixture[str], data: bytes, tmp_path: Path) -> list[str]:
    assert main(["cosi", "verify", written(tmp_path, data)]) == 2
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("finding: ") for line in lines if line.startswith("finding: ")]


def test_inspecting_shows_what_an_operator_needs(
    cosi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cosi", "inspect", str(cosi)]) == 0
    text = capsys.readouterr().out
    for expected in ("version      1.2", "debian", "grub", "/boot/efi", "C3D4-250D", "sha384"):
        assert expected in text


def test_inspecting_as_json_gives_digest_metadata_and_places(
    cosi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cosi", "inspect", "--json", cosi.as_uri()]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["metadata"]["version"] == "1.2"
    assert len(document["metadataSha384"]) == 96
    assert [member["path"] for member in document["members"]][:2] == [
        "cosi-marker",
        "metadata.json",
    ]


def test_a_good_file_verifies(cosi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cosi", "verify", str(cosi)]) == 0
    assert capsys.readouterr().out.endswith("good\n")


def test_a_wrong_digest_of_the_metadata_is_an_error(
    cosi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cosi", "verify", str(cosi), "--sha384", "0" * 96]) == 1
    assert "expects 000" in capsys.readouterr().err


def test_a_flipped_bit_in_every_region_is_found(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = cosi.read_bytes()
    for piece in images.sample_pieces():
        flipped = bytearray(data)
        flipped[data.index(piece.packed) + len(piece.packed) // 2] ^= 1
        found = findings(capsys, bytes(flipped), tmp_path)
        assert any(piece.path in finding for finding in found)


def test_a_truncated_file_is_found(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "truncated" in findings(capsys, cosi.read_bytes()[:-2000], tmp_path)[0]


def test_a_missing_marker_and_a_wrong_order_are_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pieces = images.sample_pieces()
    document = json.dumps(images.metadata_of(pieces)).encode()
    marker, metadata = ("cosi-marker", b""), ("metadata.json", document)
    regions = [(piece.path, piece.packed) for piece in pieces]

    def check(members: list[tuple[str, bytes]]) -> list[str]:
        return findings(capsys, images.archive(members), tmp_path)

    assert "not an empty file" in check([metadata, *regions])[0]
    assert "not an empty file" in check([("cosi-marker", b"x"), metadata, *regions])[0]
    note = ("note", b"")
    assert "does not follow cosi-marker" in check([marker, note, metadata, *regions])[0]
    assert "does not follow metadata" in check([marker, metadata, note, *regions])[0]
    assert "order" in check([marker, metadata, regions[0], regions[2], regions[1]])[0]


def test_a_table_that_contradicts_the_metadata_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pieces = images.sample_pieces()

    def check(change: dict[str, Any], numbers: tuple[int, int] = (1, 2)) -> str:
        metadata = images.metadata_of(pieces)
        metadata["disk"] |= change
        for region, number in zip(metadata["disk"]["gptRegions"][1:], numbers, strict=True):
            region["number"] = number
        return "\n".join(findings(capsys, images.cosi_bytes(pieces, metadata), tmp_path))

    assert "sectors have 512 bytes" in check({"lbaSize": 4096})
    assert "does not fit its disk" in check({"size": 512 * 500})
    assert "has no partition 7" in check({}, (1, 7))
    assert "is larger than partition 1" in check({}, (2, 1))
    assert "not in the order of the disk" in check({}, (2, 1))


def test_a_damaged_table_and_a_table_with_a_tail_are_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gpt, esp, root = images.sample_pieces()
    damaged = images.piece(gpt.path, gpt.raw[:1100] + b"\xff" + gpt.raw[1101:])
    assert "checksum" in findings(capsys, images.cosi_bytes([damaged, esp, root]), tmp_path)[0]
    longer = images.piece(gpt.path, gpt.raw + bytes(512))
    assert "ends at byte" in findings(capsys, images.cosi_bytes([longer, esp, root]), tmp_path)[0]


def test_extracting_writes_every_image(cosi: Path, tmp_path: Path) -> None:
    assert main(["cosi", "extract", str(cosi), "-o", str(tmp_path / "out")]) == 0
    for name, piece in zip(("gpt", "esp", "root"), images.sample_pieces(), strict=True):
        assert (tmp_path / "out" / f"{name}.raw").read_bytes() == piece.raw


def test_extracting_one_image_writes_only_that(
    cosi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["cosi", "extract", str(cosi), "-o", str(tmp_path / "out"), "--image"]
    assert main([*base, "images/esp.rawzst"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["esp.raw"]
    assert main([*base, "images/none"]) == 1
    assert "holds no image 'images/none'" in capsys.readouterr().err


def test_a_file_that_is_missing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cosi", "verify", "/no/such/file"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_an_error(
    cosi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside_a_file = str(cosi / "out")
    assert main(["cosi", "extract", str(cosi), "-o", inside_a_file]) == 1
    assert "could not be written: Not a directory" in capsys.readouterr().err
    assert main(["cosi", "build", str(cosi), "-o", inside_a_file + "/a.cosi"]) == 1
    assert "could not be written: Not a directory" in capsys.readouterr().err
