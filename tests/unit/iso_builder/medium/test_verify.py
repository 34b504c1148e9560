"""Media compared with their own lists: whatever is changed is found, and named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.linux.run import find, run
from agent.medium import layout
from agent.trust import keys
from agent.trust.check import Part, Problem
from iso_builder import verify
from iso_builder.cli import main
from iso_builder.medium import customize, filesystem, seal
from iso_builder.medium.build import Trust
from iso_builder.medium.embed import Configuration
from iso_builder.medium.filesystem import Place
from tests.kit.medium import configuration, medium
from tests.kit.tools import unavailable

KEY = keys.generate()
OTHER = keys.generate()
DIGEST = "0" * 96
EMBEDDED = "images/os.cosi"


@pytest.fixture(name="iso")
def signed_medium(tmp_path: Path) -> Path:
    return medium(tmp_path, trust=Trust(KEY), os_cosi=DIGEST)


@pytest.fixture(name="changed")
def changed_medium(iso: Path, tmp_path: Path) -> Path:
    customize.customize(iso, order(tmp_path), iso, KEY)
    return iso


def order(folder: Path) -> customize.Order:
    return customize.Order((Configuration(None, configuration(folder)),), ("quiet",))


def flip(image: Path, offset: int) -> None:
    with image.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ 0x10]))


def place(image: Path, name: str) -> Place:
    return filesystem.places(image, [name])[name]


def found(image: Path, key: keys.PublicKey | None = None) -> set[tuple[Part, str, Problem]]:
    report = verify.verify(image, key)
    return {(one.part, one.name, one.problem) for one in report.findings}


def test_a_medium_as_built_and_one_that_was_changed_are_good(iso: Path, tmp_path: Path) -> None:
    assert found(iso, KEY.public) == found(iso) == set()
    customize.customize(iso, order(tmp_path), iso, KEY)
    assert found(iso, KEY.public) == found(iso) == set()
    report = verify.verify(iso, KEY.public)
    assert (report.is_signed, report.is_changed, report.change_is_signed) == (True, True, True)
    customize.reset(iso, iso)
    assert not verify.verify(iso, KEY.public).is_changed


@pytest.mark.parametrize("name", [EMBEDDED, layout.ROOTFS, layout.CATALOGUE, layout.DESCRIPTION])
def test_a_flipped_bit_of_a_file_is_found_by_the_name_of_the_file(iso: Path, name: str) -> None:
    flip(iso, place(iso, name).offset + 17)
    assert found(iso) == {(Part.BASE, name, Problem.ALTERED)}


@pytest.mark.parametrize("offset", [5, 20_000, 34_900, 60_000])
def test_a_flipped_bit_outside_of_all_files_is_found_too(iso: Path, offset: int) -> None:
    flip(iso, offset)
    assert found(iso) == {(Part.BASE, verify.FRAME, Problem.ALTERED)}


def test_a_flipped_bit_of_an_overlay_is_told_apart_from_the_base(changed: Path) -> None:
    flip(changed, place(changed, layout.OVERLAY).offset + 600)
    assert found(changed) == {(Part.OVERLAY, layout.OVERLAY, Problem.ALTERED)}


def test_an_overlay_that_nobody_described_is_found(iso: Path) -> None:
    flip(iso, place(iso, layout.GRUB_MENU).offset + 600)
    assert found(iso) == {(Part.OVERLAY, layout.GRUB_MENU, Problem.UNDESCRIBED)}


@pytest.mark.parametrize("name", [layout.CONTENTS, layout.SUMS])
def test_flipped_bits_of_the_lists_themselves_are_found(iso: Path, name: str) -> None:
    area = place(iso, name)
    for offset in range(0, area.size, 97):
        flip(iso, area.offset + offset)
        assert found(iso), offset
        flip(iso, area.offset + offset)
    assert not found(iso)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_flipped_bit_of_a_signed_medium_goes_unnoticed(
    changed: Path, data: st.DataObject
) -> None:
    used = place(changed, EMBEDDED)
    offset = data.draw(st.integers(0, used.offset + used.size - 1))
    flip(changed, offset)
    try:
        code = main(["verify", str(changed), "--public-key", str(key_file(changed.parent))])
    finally:
        flip(changed, offset)
    assert code != 0


def key_file(folder: Path) -> Path:
    path = folder / "key.pub"
    path.write_bytes(KEY.public.pem())
    return path


@pytest.mark.parametrize(("key", "problem"), [(None, "unsigned"), (OTHER, "signature")])
def test_who_did_not_sign_is_found_in_both_parts(
    tmp_path: Path, key: keys.SigningKey | None, problem: str
) -> None:
    iso = medium(tmp_path, trust=Trust(key), os_cosi=DIGEST)
    customize.customize(iso, order(tmp_path), iso, key)
    assert found(iso) == set()
    assert found(iso, KEY.public) == {
        (Part.BASE, layout.CONTENTS, Problem(problem)),
        (Part.OVERLAY, layout.CHANGES, Problem(problem)),
    }


def test_changes_need_no_signature_where_the_medium_allows_it(tmp_path: Path) -> None:
    iso = medium(tmp_path, trust=Trust(KEY, unsigned_changes=True), os_cosi=DIGEST)
    customize.customize(iso, order(tmp_path), iso)
    assert found(iso, KEY.public) == set()
    customize.customize(iso, order(tmp_path), iso, OTHER)
    assert found(iso, KEY.public) == {(Part.OVERLAY, layout.CHANGES, Problem.SIGNATURE)}


def test_a_file_that_was_added_or_taken_away_is_named(iso: Path, tmp_path: Path) -> None:
    """xorriso writes a tree anew: the frame differs, and the boot information in isolinux.bin."""
    if find("xorriso") is None:
        unavailable("xorriso is not installed")
    (tmp_path / "evil.yaml").write_text("os: {}\n")
    target = tmp_path / "other.iso"
    changes = ["-map", str(tmp_path / "evil.yaml"), f"/{layout.CONFIGURATION}"]
    changes += ["-rm", f"/{EMBEDDED}", "--"]
    run(["xorriso", "-indev", iso, "-outdev", target, *changes, "-commit"])
    seen = found(target)
    assert (Part.BASE, layout.CONFIGURATION, Problem.ADDED) in seen
    assert (Part.BASE, EMBEDDED, Problem.MISSING) in seen
    assert (Part.BASE, verify.FRAME, Problem.ALTERED) in seen


def test_a_medium_that_ends_early_is_found(iso: Path) -> None:
    with iso.open("r+b") as stream:
        stream.truncate(place(iso, layout.ROOTFS).offset + 1000)
    (finding,) = verify.verify(iso, None).findings
    assert finding.problem is Problem.MISSING
    assert layout.ROOTFS in finding.message
    assert layout.EFI_IMAGE not in finding.message


def test_an_image_without_a_list_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.iso"
    entries = [filesystem.Entry(name, b"x") for name in ("boot/a.bin", "boot/b.img")]
    boot = filesystem.BootImages("boot/a.bin", "boot/b.img", "boot/c.cat")
    filesystem.write(path, "OTHER", entries, boot, time_s=0)
    assert main(["verify", str(path)]) == 2
    assert "there is no list of contents" in capsys.readouterr().out


def test_the_command_reports_both_parts(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(changed)]) == 0
    assert capsys.readouterr().out == (
        "base    good, signed; by whom was not checked (--public-key)\n"
        "overlay good, signed; by whom was not checked (--public-key)\n"
    )
    flip(changed, place(changed, layout.ROOTFS).offset)
    words = ["verify", str(changed), "--public-key", str(key_file(changed.parent))]
    assert main([*words, "--format", "json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["base"]["findings"][0]["name"] == layout.ROOTFS
    assert report["base"]["good"] is report["good"] is False
    assert report["overlay"] == {"good": True, "findings": [], "changed": True, "signed": True}
    assert main(words) == 2
    assert f"overlay good, signed by {KEY.public.identity}\n" in capsys.readouterr().out


def test_coreutils_and_openssl_agree_with_the_lists(changed: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    files = unpacked(changed, root)
    sums = files[layout.SUMS].decode()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in sums.splitlines())}
    assert {hashlib.sha384(files[name]).hexdigest() for name in listed} == set(listed.values())
    unlisted = {*layout.MUTABLE, *layout.SEALS} - {layout.CONTENTS}
    assert files.keys() - listed.keys() == unlisted
    run(["sha384sum", "--check", "--strict", "--quiet", layout.SUMS], cwd=root)
    for text, signature in (
        (layout.CONTENTS, layout.SIGNATURE),
        (layout.CHANGES, layout.CHANGES_SIGNATURE),
    ):
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]
        run([*command, key_file(tmp_path), "-in", root / text, "-sigfile", root / signature])


def unpacked(image: Path, root: Path) -> Mapping[str, bytes]:
    data = image.read_bytes()
    files = {
        name: b"".join(data[one.offset : one.offset + one.size] for one in places)
        for name, places in seal.places(image).items()
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return files
