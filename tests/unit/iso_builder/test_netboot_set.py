"""Servicing image sets as an operator gets them: listed, signed, and compared with their lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.linux.run import run
from agent.trust import contents, keys
from agent.trust.check import Problem
from iso_builder import manifest, netboot_set, verify
from iso_builder.cli import main
from iso_builder.kernel import Identity

KEY = keys.generate()
FILES = ("vmlinuz", "initrd.img", "rootfs.squashfs", "x86_64/ipxe.efi")


@pytest.fixture(name="folder")
def image_set(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    manifest.write(folder, manifest.describe(folder, Identity("6.1.0-1-amd64", "6.1-1"), []))
    netboot_set.seal(folder, KEY)
    return folder


def problems(folder: Path, key: keys.PublicKey | None = KEY.public) -> dict[str, Problem]:
    return {one.name: one.problem for one in verify.verify(folder, key).findings}


def test_a_set_is_good_by_its_lists_by_sha384sum_and_by_openssl(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert problems(folder) == {}
    run(["sha384sum", "--check", "--strict", "--quiet", contents.SUMS], cwd=folder)
    (tmp_path / "key.pub").write_bytes(KEY.public.pem())
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]
    run(
        [*command, tmp_path / "key.pub", "-in", contents.CONTENTS, "-sigfile", contents.SIGNATURE],
        cwd=folder,
    )
    assert main(["verify", str(folder), "--public-key", str(tmp_path / "key.pub")]) == 0
    assert f"base    good, signed by {KEY.public.identity}" in capsys.readouterr().out


def test_what_was_altered_added_or_taken_away_is_named(folder: Path) -> None:
    (folder / "vmlinuz").write_bytes(b"VMLINUZ" + (folder / "vmlinuz").read_bytes()[7:])
    (folder / "x86_64/ipxe.efi").unlink()
    (folder / "x86_64/other.efi").write_bytes(b"x")
    assert problems(folder, None) == {
        "vmlinuz": Problem.ALTERED,
        "x86_64/ipxe.efi": Problem.MISSING,
        "x86_64/other.efi": Problem.ADDED,
    }


def test_lists_that_were_written_anew_for_other_files_need_the_key(folder: Path) -> None:
    (folder / "vmlinuz").write_bytes(b"evil")
    manifest.renew(folder, "vmlinuz")
    netboot_set.seal(folder, None)
    assert problems(folder, None) == {}
    assert problems(folder) == {contents.CONTENTS: Problem.SIGNATURE}
    (folder / contents.SIGNATURE).unlink()
    assert problems(folder) == {contents.CONTENTS: Problem.UNSIGNED}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 2}'])
def test_a_list_that_says_nothing_is_reported(folder: Path, damage: bytes) -> None:
    (folder / contents.CONTENTS).write_bytes(damage)
    assert set(problems(folder)) == {contents.CONTENTS}


def test_a_folder_that_is_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "none")]) == 1
    assert "invalid-input/read-input-file" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--config", "x.yaml"], ["--unsigned-changes"]])
def test_a_set_is_not_told_what_only_a_medium_can_be_told(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "out")
    assert main(["build", "--format", "netboot", "-o", target, *words]) == 1
    error = capsys.readouterr().err
    assert words[0] in error
    assert "invalid-input/command-line" in error
    assert not (tmp_path / "out").exists()
