"""Runs the commands of docs/how-to/cosi-images.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agent.linux.run import run
from iso_builder.cli import main
from tests.tools.cosi import disks

pytestmark = pytest.mark.tools
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "cosi-images.md"


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = disks.raw_disk(tmp_path)
    run(["qemu-img", "convert", "-O", "qcow2", disk, tmp_path / "disk.qcow2"])
    monkeypatch.chdir(tmp_path)
    found = commands()
    assert len(found) == 13
    for program, *arguments in found:
        assert program == "trident-iso"
        assert main(arguments) == 0, capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "regions").iterdir()) == [
        "partition-1.raw",
        "partition-2.raw",
        "partition-3.raw",
        "primary-gpt.raw",
    ]
    assert [path.name for path in (tmp_path / "table").iterdir()] == ["primary-gpt.raw"]
    assert (tmp_path / "again.raw").stat().st_size == disk.stat().st_size
