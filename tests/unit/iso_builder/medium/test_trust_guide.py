"""The how-to guide on trust: its commands exist. tests/tools runs them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from iso_builder.cli import parser

GUIDE = Path(__file__).parents[4] / "docs/how-to/trust-media.md"


def commands() -> list[list[str]]:
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for info, text in fenced if not info for line in text.splitlines()]


def test_its_commands_are_understood() -> None:
    found = commands()
    assert len(found) == 10
    for program, *arguments in found:
        assert program == "trident-iso"
        parser().parse_args(arguments)
