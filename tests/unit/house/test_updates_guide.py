"""The guide to updates: its YAML selects what it says, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agent.api.load import load
from agent.api.status import ServicingType
from agent.check import diff
from agent.cli import parser

GUIDE = (Path(__file__).parents[3] / "docs" / "how-to" / "updates.md").read_text()
SERVICING = (ServicingType.RUNTIME_UPDATE, ServicingType.RUNTIME_UPDATE, ServicingType.AB_UPDATE)
IMAGE = f"image: {{url: 'https://h/os-1.cosi', sha384: '{'a' * 96}'}}\n"


def blocks(kind: str) -> list[str]:
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for info, text in fenced if info == kind]


@pytest.mark.parametrize(
    ("text", "servicing"),
    list(zip(blocks("yaml"), SERVICING, strict=True)),
)
def test_its_configurations_take_what_it_says(text: str, servicing: ServicingType) -> None:
    given = text if text.startswith("image:") else IMAGE + text
    assert diff.select(load(IMAGE), load(given)).servicing is servicing


def test_its_commands_are_understood() -> None:
    lines = [line for block in blocks("") for line in block.splitlines()]
    words = [shlex.split(line.partition(" >")[0]) for line in lines if line.startswith("trident ")]
    assert len(words) == 8
    for _, *arguments in words:
        parser().parse_args(arguments)
