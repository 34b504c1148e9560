"""Archives and unified kernels, read back with cpio and objcopy's own kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cosi import pe
from agent.linux.run import run
from iso_builder import cpio, loaders, uki

pytestmark = pytest.mark.tools


def test_cpio_unpacks_what_the_writer_wrote(tmp_path: Path) -> None:
    archive = cpio.encode(
        cpio.with_parents(
            [
                cpio.file("bin/busybox", b"program" * 99, 0o755),
                cpio.link("bin/sh", "busybox"),
                cpio.character_device("dev/console", 5, 1),
            ]
        )
    )
    run(["cpio", "--extract", "--quiet", "--make-directories"], stdin=archive, cwd=tmp_path)
    program = tmp_path / "bin" / "busybox"
    assert program.read_bytes() == b"program" * 99
    assert program.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin" / "sh").readlink() == Path("busybox")
    assert (tmp_path / "dev" / "console").is_char_device()


def test_a_unified_kernel_holds_its_sections_unharmed(tmp_path: Path) -> None:
    loaders.collect(loaders.DISK, tmp_path)
    contents = {
        ".osrel": b"ID=debian\nVERSION_ID=12\n",
        ".cmdline": b"root=UUID=1 ro",
        ".uname": b"6.1.0-1-amd64",
        ".initrd": bytes(range(256)) * 40_000,
        ".linux": b"kernel" * 4_000_000,
    }
    sections = []
    for name, content in contents.items():
        source = tmp_path / name.lstrip(".")
        source.write_bytes(content)
        sections.append(uki.Section(name, source))
    uki.build(tmp_path / "linuxx64.efi.stub", sections, tmp_path / "made.efi")
    made = (tmp_path / "made.efi").read_bytes()
    found = pe.sections(made)
    assert {name: bytes(found[name])[: len(contents[name])] for name in contents} == contents
    assert pe.parse_uki(made).cmdline == "root=UUID=1 ro"
