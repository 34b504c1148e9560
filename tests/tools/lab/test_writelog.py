"""Logs of writes as QEMU keeps them, replayed to each flush."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.linux.run import run
from lab import writelog
from lab.errors import LabError

pytestmark = pytest.mark.tools

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Flushes after a write, after one of zeros (QEMU's own), after 5 MiB, a discard and a FUA."""
    disk, path = tmp_path / "disk", tmp_path / "log"
    disk.write_bytes(bytes(8 * MIB))
    path.touch()
    options = (
        f"driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={disk},"
        f"log.driver=file,log.filename={path}"
    )
    commands = [
        *("write -P 0xaa 0 4k", "flush"),
        *("write -P 0xbb 1M 64k", "write -z 2M 64k", "write -P 0xdd 4M 5M", "flush"),
        *("discard 0 4k", "flush"),
        *("write -f -P 0xcc 3M 512", "write -P 0xee 0 512"),
    ]
    disk.write_bytes(bytes(10 * MIB))
    words = [word for command in commands for word in ("-c", command)]
    run(["qemu-io", *words, "--image-opts", options])
    return path


def test_every_write_and_flush_is_read_in_order(log: Path) -> None:
    entries = writelog.read(log)
    told = [(one.start, one.size, one.is_boundary) for one in entries if one.size]
    assert told[:5] == [
        (0, 4 * KIB, False),
        (MIB, 64 * KIB, False),
        (2 * MIB, 64 * KIB, False),
        (4 * MIB, 5 * MIB, False),
        (0, 4 * KIB, False),
    ]
    assert [index for index, one in enumerate(entries) if one.is_boundary][:3] == [1, 4, 6]


def test_a_replay_stops_at_each_flush(log: Path, tmp_path: Path) -> None:
    entries = writelog.read(log)
    flushes = [index for index, one in enumerate(entries) if one.is_boundary]
    image = tmp_path / "replayed"
    image.write_bytes(b"\xff" * (10 * MIB))
    seen = []
    with writelog.Replay(log, entries, image) as replay:
        for index in flushes:
            replay.up_to(index)
            data = image.read_bytes()
            seen.append((data[0], data[MIB], data[2 * MIB], data[3 * MIB], data[9 * MIB - 1]))
    assert seen[0] == (0xAA, 0xFF, 0xFF, 0xFF, 0xFF)
    assert seen[1] == (0xAA, 0xBB, 0x00, 0xFF, 0xFF)
    assert seen[2] == (0xAA, 0xBB, 0x00, 0xFF, 0xDD)
    assert seen[4] == (0x00, 0xBB, 0x00, 0xFF, 0xDD)
    assert seen[-1][3] == 0xCC


def test_a_log_that_was_cut_off_ends_with_its_last_whole_entry(log: Path, tmp_path: Path) -> None:
    entries = writelog.read(log)
    short = tmp_path / "short"
    short.write_bytes(log.read_bytes()[: entries[3].end - 1])
    assert writelog.read(short) == entries[:3]


def test_another_file_is_no_log(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(4096))
    with pytest.raises(LabError, match="is no log of writes"):
        writelog.read(other)
