"""File names made safe, and sources that read what they should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootserver.tftp.content import Files, Memory, OpenFile, normalize, under


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("x86_64/snponly.efi", "x86_64/snponly.efi"),
        ("/grub/grub.cfg", "grub/grub.cfg"),
        ("//grubx64.efi", "grubx64.efi"),
        ("\\boot\\x64\\file", "boot/x64/file"),
        ("./a/./b", "a/b"),
        ("grub/host/52:54:00:12:34:56.cfg", "grub/host/52:54:00:12:34:56.cfg"),
        ("a..b", "a..b"),
    ],
)
def test_names_of_firmware_are_understood(sent: str, meant: str) -> None:
    assert normalize(sent) == meant


@pytest.mark.parametrize(
    "sent",
    ["", "/", ".", "..", "../etc/passwd", "a/../../b", "..\\x", "/..//x", "a\nb", "a\0b", "a\x7f"],
)
def test_dangerous_names_are_refused(sent: str) -> None:
    assert normalize(sent) is None


@given(st.text(max_size=60))
def test_no_name_leaves_the_folder(sent: str) -> None:
    name = normalize(sent)
    if name is not None:
        assert not os.path.isabs(name)
        assert os.path.normpath(name) == name
        assert normalize(name) == name


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("no")
    (root / "inside").write_text("yes")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to("inside")
    assert under(root, "in") == root / "inside"
    assert under(root, "/inside") == root / "inside"
    for name in ("out", "sub", "missing", "../secret"):
        assert under(root, name) is None


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_source_fills_parts_from_any_offset(tmp_path: Path, in_memory: bool) -> None:
    data = bytes(range(256)) * 4
    (tmp_path / "file").write_bytes(data)
    source = Memory(data) if in_memory else OpenFile(tmp_path / "file")
    room = bytearray(100)
    parts = [memoryview(room)[:40], memoryview(room)[60:]]
    assert source.size == len(data)
    assert source.read_into(parts, 1000) == 24
    assert source.read_into(parts, 10) == 80
    assert bytes(room[:40] + room[60:]) == data[10:90]


def test_a_file_is_open_once_however_many_use_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    files = Files()
    first, second = files.acquire(path), files.acquire(path)
    assert first is second
    files.release(first)
    assert len(files) == 1
    files.release(second)
    assert len(files) == 0


def test_a_replaced_file_is_opened_anew_while_the_old_one_is_read(tmp_path: Path) -> None:
    path, fresh = tmp_path / "file", tmp_path / "fresh"
    path.write_bytes(b"old")
    fresh.write_bytes(b"newer")
    files = Files()
    old = files.acquire(path)
    fresh.replace(path)
    new = files.acquire(path)
    room = bytearray(3)
    assert old.read_into([memoryview(room)], 0) == 3
    assert (bytes(room), new.size) == (b"old", 5)
    files.release(old)
    files.release(new)
    assert len(files) == 0


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        OpenFile(tmp_path)
