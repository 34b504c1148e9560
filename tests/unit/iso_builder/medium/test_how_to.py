"""The how-to guide: its YAML is embeddable, its commands exist. tests/tools runs them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from iso_builder.cli import parser
from iso_builder.medium import embed
from iso_builder.medium.embed import Configuration

GUIDE = (Path(__file__).parents[4] / "docs/how-to/iso.md").read_text()


def blocks(kind: str) -> list[str]:
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for info, text in fenced if info == kind]


def test_its_configuration_may_be_embedded_with_its_image(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "node1.yaml"
    path.write_text(text)
    checked = embed.check_configurations([Configuration(None, path)], {"os.cosi": "0" * 96})
    assert not checked.needs_address


def test_its_commands_are_understood() -> None:
    commands = [shlex.split(line) for block in blocks("") for line in block.splitlines()]
    assert len(commands) == 12
    for program, *arguments in commands:
        assert program == "trident-iso"
        parser().parse_args(arguments)
