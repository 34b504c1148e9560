"""Placeholders in an ISO image that another tool wrote, read and filled by two implementations."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent.linux.run import find, run
from iso_builder.medium import placeholder
from tests.kit import upstream_isopatch
from tests.kit.tools import unavailable

pytestmark = pytest.mark.tools

CONFIGURATION, SCRIPT = "/etc/trident/config.yaml", "/trident_cdrom/pre-trident-script.sh"
ROOM = {CONFIGURATION: 17_000, SCRIPT: 9_500}
ON_THE_ISO = {CONFIGURATION: "trident/config.yaml", SCRIPT: "trident/pre-script.sh"}
TEXT = "storage:\n  disks:\n    - {id: os, device: /dev/sda}\n"


@pytest.fixture(name="iso")
def upstream_image(tmp_path: Path) -> Path:
    if find("xorriso") is None:
        unavailable("xorriso is not installed")
    tree = tmp_path / "tree"
    (tree / "trident").mkdir(parents=True)
    (tree / "squashfs.img").write_bytes(bytes(range(256)) * 20_000)
    for number, (path, size) in enumerate(ROOM.items()):
        head = f"#{number:064x}:{path}:"
        (tree / ON_THE_ISO[path]).write_text(head.ljust(size - 1, "#") + "\n")
    image = tmp_path / "upstream.iso"
    run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", image, tree])
    return image


def test_both_find_the_same_placeholders(iso: Path) -> None:
    ours = {one.path: (one.offset, one.size) for one in placeholder.find(iso)}
    data = iso.read_bytes()
    assert ours == {path: upstream_isopatch.room(data, path) for path in ROOM}
    assert {path: size for path, (_, size) in ours.items()} == ROOM


@pytest.mark.parametrize("text", [TEXT, TEXT.rstrip(), "#" * 16_998 + "\n", "#" * 16_999 + "\n"])
def test_both_write_the_same_image(iso: Path, tmp_path: Path, text: str) -> None:
    target = tmp_path / "ours.iso"
    placeholder.patch(iso, {CONFIGURATION: text.encode()}, target)
    theirs = upstream_isopatch.patched(iso.read_bytes(), CONFIGURATION, text.encode())
    assert target.read_bytes() == theirs


def test_a_reader_of_the_file_system_finds_the_payload(iso: Path, tmp_path: Path) -> None:
    script = b"#!/bin/sh\necho ready\n"
    placeholder.patch(iso, {CONFIGURATION: TEXT.encode(), SCRIPT: script}, iso)
    for path, name in ON_THE_ISO.items():
        out = tmp_path / "out" / path.lstrip("/")
        out.parent.mkdir(parents=True, exist_ok=True)
        run(["xorriso", "-osirrox", "on", "-indev", iso, "-extract", f"/{name}", out])
        assert out.stat().st_size == ROOM[path]
    read = yaml.safe_load((tmp_path / "out/etc/trident/config.yaml").read_text())
    assert read == yaml.safe_load(TEXT)
    written = tmp_path / "out/trident_cdrom/pre-trident-script.sh"
    assert run(["sh", written]).stdout == "ready\n"
    assert upstream_isopatch.room(iso.read_bytes(), CONFIGURATION) == (-1, 0)
