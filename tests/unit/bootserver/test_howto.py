"""The how-to guide: its YAML is accepted, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from agent.api import yamltext
from bootserver import settings
from bootserver.cli import parser
from bootserver.configuration import Place, check
from bootserver.documents import parse_text
from bootserver.hosts import HostsFile

GUIDE = (Path(__file__).parents[3] / "docs" / "how-to" / "bootserver.md").read_text()


def blocks(kind: str) -> list[str]:
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for info, text in fenced if info == kind]


@pytest.mark.parametrize("text", blocks("yaml settings"))
def test_its_settings_are_accepted(text: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert settings.load(path).interface == "eth1"


def test_its_declarations_are_accepted() -> None:
    (text,) = blocks("yaml hosts")
    inline = parse_text(text, HostsFile, "guide", "code").hosts[1].host_configuration
    assert inline is not None
    verdict = check(yamltext.dump(inline), Place("10.77.0.1:8080", Path("/nowhere")))
    assert verdict.errors == ()


def test_its_commands_are_understood() -> None:
    lines = [line for block in blocks("") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("trident-bootserver")]
    assert len(commands) == 7
    for command in commands:
        parser().parse_args(command)


def test_it_names_every_setting() -> None:
    for name in settings.Settings.model_fields:
        assert f"`{to_camel(name)}" in GUIDE
