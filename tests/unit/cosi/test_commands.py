"""`trident-iso cosi` on small files, run as an operator would."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
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


def altered(metadata: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    change(metadata)
    return metadata


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda m: m["images"][1].update(fsUuid="C3D4-250D"), "2 file systems have the UUID"),
        (lambda m: m["images"][1].update(fsUuid="1" * 8), "its metadata says 11111111"),
        (lambda m: m["images"][1].update(fsType="xfs"), "holds a ext file system"),
        (lambda m: m["images"][0].update(fsType="ext4"), "holds a vfat file system"),
        (lambda m: m.update(osRelease="nothing"), "not the text of an os-release file"),
        (
            lambda m: m["images"][1].update(partType="4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            "in the table, its metadata says 4f68bce3",
        ),
        (lambda m: m.pop("bootloader"), "'bootloader' is required"),
        (lambda m: m["osPackages"][0].pop("arch"), "package 'bash' has no 'arch'"),
        (lambda m: m["disk"].update(lbaSize=1024), "neither 512 nor 4096"),
        (lambda m: m.update(osArch="riscv"), "osArch: 'riscv' is not a known architecture"),
        (lambda m: m["compression"].update(maxWindowLog=10), "maxWindowLog promises 2^10"),
        (
            lambda m: m.update(
                bootloader={
                    "type": "systemd-boot",
                    "systemdBoot": {
                        "entries": [
                            {"type": "config", "path": "x.conf", "cmdline": "", "kernel": "6"}
                        ]
                    },
                }
            ),
            "'x.conf' has no absolute path",
        ),
    ],
)
def test_every_rule_of_the_metadata_is_checked(
    change: Callable[[dict[str, Any]], None],
    wanted: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    metadata = altered(images.metadata_of(images.sample_pieces()), change)
    found = findings(capsys, images.cosi_bytes(metadata=metadata), tmp_path)
    assert any(wanted in finding for finding in found), found


def test_all_that_is_wrong_is_told_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces)
    metadata["bootloader"] = {"type": "grub", "systemdBoot": {"entries": []}}
    metadata["osPackages"] = None
    metadata["disk"]["lbaSize"] = 4096
    metadata["images"][1]["fsUuid"] = "11111111-1111-1111-1111-111111111111"
    data = bytearray(images.cosi_bytes(pieces, metadata))
    data[data.index(pieces[1].packed) + 99] ^= 1
    found = "\n".join(findings(capsys, bytes(data), tmp_path))
    for wanted in (
        "cannot have systemdBoot",
        "'osPackages' is required",
        "images/esp.rawzst",
        "sectors have 512 bytes",
        "its metadata says 11111111",
    ):
        assert wanted in found


def test_sizes_that_contradict_the_archive_are_findings_of_each_image(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    metadata = images.metadata_of(images.sample_pieces())
    for image in metadata["images"]:
        image["image"]["compressedSize"] += 1
    for region in metadata["disk"]["gptRegions"][1:]:
        region["image"] = dict(region["image"], path="images/gone")
    found = findings(capsys, images.cosi_bytes(metadata=metadata), tmp_path)
    assert sum("in the archive, its metadata says" in finding for finding in found) == 2
    assert any("holds no 'images/gone'" in finding for finding in found)


def test_the_name_and_the_end_of_the_file_are_checked(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "image.tar"
    other.write_bytes(cosi.read_bytes())
    assert main(["cosi", "verify", str(other)]) == 2
    assert "does not end in .cosi" in capsys.readouterr().out
    found = findings(capsys, cosi.read_bytes()[:-512], tmp_path)
    assert found == ["the archive does not end with two blocks of zeroes"]


def test_a_footer_behind_the_archive_is_allowed(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["cosi", "verify", written(tmp_path, cosi.read_bytes() + b"signature")]) == 0


def test_advice_does_not_make_a_file_bad(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces) | {"comment": "x"}
    members = [("cosi-marker", b""), ("metadata.json", json.dumps(metadata).encode())]
    members += [(piece.path, piece.packed) for piece in pieces] + [("note", b"")]
    assert main(["cosi", "verify", written(tmp_path, images.archive(members))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "advice: 'note' belongs to nothing",
        "advice: 'comment' is no field of COSI",
    ]


def test_findings_are_told_to_programs(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["cosi", "verify", str(cosi), "--json", "--progress", "json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["good"], document["findings"]) == (True, [])
    assert len(document["metadataSha384"]) == 96
    assert next(json.loads(line)["type"] for line in err.splitlines()) == "operation-started"
    assert main(["cosi", "verify", "--json", written(tmp_path, b"x" * 1024)]) == 2
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["rule"] == "archive"
    assert not finding["advice"]


def test_a_program_reads_nothing_but_events_even_when_a_command_fails(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments in (
        ["verify", "/no/such.cosi"],
        ["diff", str(cosi), "/no/such.cosi"],
        ["extract", "/no/such.cosi", "--disk", str(tmp_path / "disk")],
        ["randomize-uuids", "/no/such.cosi", "-o", str(tmp_path / "new.cosi")],
        ["build", "/no/such.raw", "-o", str(tmp_path / "new.cosi")],
        ["build", str(cosi), "-o", str(cosi / "inside-a-file")],
    ):
        assert main(["cosi", *arguments, "--progress", "json"]) == 1
        found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert found[-1]["type"] == "operation-failed", arguments
        assert found[-1]["hint"]


def test_the_disk_is_put_together_again(cosi: Path, tmp_path: Path) -> None:
    gpt, esp, root = images.sample_pieces()
    assert main(["cosi", "extract", str(cosi), "--disk", str(tmp_path / "disk.raw")]) == 0
    disk = (tmp_path / "disk.raw").read_bytes()
    assert len(disk) == 1024 * 512
    assert disk.startswith(gpt.raw)
    assert disk[64 * 512 :].startswith(esp.raw)
    assert disk[128 * 512 :].startswith(root.raw)
    assert disk[-512:].startswith(b"EFI PART")
    assert not any(disk[128 * 512 + len(root.raw) : -33 * 512])


def test_a_disk_is_complete_or_not_there(
    cosi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(cosi.read_bytes())
    root = images.sample_pieces()[2]
    data[data.index(root.packed) + 100] ^= 1
    bad, target = written(tmp_path, bytes(data)), tmp_path / "out" / "disk.raw"
    assert main(["cosi", "extract", bad, "--disk", str(target)]) == 1
    assert "root.rawzst" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == []


def test_a_file_without_a_layout_has_no_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path(__file__).parents[2] / "data/cosi/grub-1.1.cosi"
    assert main(["cosi", "extract", str(old), "--disk", str(tmp_path / "disk.raw")]) == 1
    assert "unsupported-configuration/image-without-disk" in capsys.readouterr().err


def test_an_image_larger_than_its_partition_writes_nothing_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = written(tmp_path, images.cosi_bytes(images.sample_pieces(esp_bytes=40_000)))
    assert main(["cosi", "extract", bad, "--disk", str(tmp_path / "disk.raw")]) == 1
    assert "larger than its partition" in capsys.readouterr().err
    assert not (tmp_path / "disk.raw").exists()


def test_options_that_exclude_each_other_are_refused(cosi: Path) -> None:
    for options in (["--disk", "x", "-o", "y"], ["--disk", "x", "--image", "y"], []):
        with pytest.raises(SystemExit) as caught:
            main(["cosi", "extract", str(cosi), *options])
        assert caught.value.code == 2


def test_files_that_install_the_same_do_not_differ(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Other paths and another compression make no difference."""
    pieces = [
        replace(piece, path=f"images/x/{index}", packed=images.compress(piece.raw, level=1))
        for index, piece in enumerate(images.sample_pieces())
    ]
    other = written(tmp_path, images.cosi_bytes(pieces))
    assert main(["cosi", "diff", str(cosi), other]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "metadata: equal",
        "packages: equal",
        "images",
        "  /boot/efi: equal",
        "  /: equal",
        "  partition table: equal",
    ]


def test_what_differs_is_told_and_how_much(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gpt, esp, root = images.sample_pieces(root_bytes=3 * 2**20)
    first = written(tmp_path, images.cosi_bytes([gpt, esp, root]))
    changed = bytearray(root.raw + bytes(4096))
    for at in (2 * 4096, 2 * 4096 + 4000, 2**20 + 1, 2 * 2**20 - 1):
        changed[at] ^= 1
    pieces = [gpt, esp, images.piece(root.path, bytes(changed))]
    metadata = images.metadata_of(pieces)
    metadata["osRelease"] = "ID=other\n"
    metadata["osPackages"] = [
        {"name": "bash", "version": "5.3", "release": "1", "arch": "amd64"},
        {"name": "zsh", "version": "5", "release": "1", "arch": "amd64"},
    ]
    second = tmp_path / "second.cosi"
    second.write_bytes(images.cosi_bytes(pieces, metadata))
    assert main(["cosi", "diff", first, str(second)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert "metadata: 1 differ" in lines
    assert "  bash.amd64: 5.2-1 -> 5.3-1" in lines
    assert "  zsh.amd64: (none) -> 5-1" in lines
    assert "  /boot/efi: equal" in lines
    assert main(["cosi", "diff", first, str(second), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    root_change = next(image for image in document["images"] if image["name"] == "/")
    # Three blocks changed, one is new.
    assert root_change == {
        "name": "/",
        "state": "differs",
        "differingBytes": 4 * 4096,
        "totalBytes": 3 * 2**20 + 4096,
    }


def test_a_damaged_image_cannot_be_compared(
    cosi: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pieces = images.sample_pieces(root_bytes=60_416)
    data = bytearray(images.cosi_bytes(pieces))
    data[data.index(pieces[2].packed) + 100] ^= 1
    assert main(["cosi", "diff", str(cosi), written(tmp_path, bytes(data))]) == 1
    assert "images/root.rawzst" in capsys.readouterr().err


def test_older_versions_are_described_and_verified(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[2] / "data/cosi"
    for name in ("grub-1.0.cosi", "grub-1.1.cosi", "systemd-boot-1.2.cosi", "footer.cosi"):
        assert main(["cosi", "inspect", str(folder / name), "--packages"]) == 0
        assert "bash 5.2" in capsys.readouterr().out


def test_several_frames_are_compared_as_one_content(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gpt, esp, root = images.sample_pieces(root_bytes=3 * 2**20)
    cuts = (0, 5, 700_000, 2**20 + 1, 3 * 2**20)
    frames = b"".join(
        images.compress(root.raw[start:end]) for start, end in itertools.pairwise(cuts)
    )
    whole, split = tmp_path / "whole.cosi", tmp_path / "split.cosi"
    whole.write_bytes(images.cosi_bytes([gpt, esp, root]))
    split.write_bytes(images.cosi_bytes([gpt, esp, replace(root, packed=frames)]))
    assert main(["cosi", "diff", str(whole), str(split)]) == 0
    assert "  /: equal" in capsys.readouterr().out.splitlines()
