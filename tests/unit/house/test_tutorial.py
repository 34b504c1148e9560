"""The tutorial: its YAML is accepted, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from agent.api import yamltext
from bootserver import cli as bootserver_cli
from bootserver import settings
from bootserver.configuration import Place, check
from bootserver.documents import parse_text
from bootserver.hosts import HostsFile
from iso_builder import cli as iso_cli

TUTORIAL = (Path(__file__).parents[3] / "docs" / "tutorial.md").read_text()
PARSERS = {"trident-iso": iso_cli.parser, "trident-bootserver": bootserver_cli.parser}


def blocks(kind: str) -> list[str]:
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)
    return [text for info, text in fenced if info == kind]


def test_its_declaration_is_accepted() -> None:
    inline = parse_text(blocks("yaml")[0], HostsFile, "tutorial", "code").hosts[0]
    assert inline.host_configuration is not None
    text = yamltext.dump(inline.host_configuration)
    assert check(text, Place("192.0.2.10:8080", Path("/nowhere"))).errors == ()


def test_its_settings_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "bootserver.yaml"
    path.write_text(blocks("yaml")[1])
    assert settings.load(path).interface == "eth0"


def test_its_commands_are_understood() -> None:
    lines = [line for block in blocks("") for line in block.splitlines()]
    words = [shlex.split(line.removeprefix("sudo ")) for line in lines if "bin/trident-" in line]
    assert len(words) == 7
    for program, *arguments in words:
        PARSERS[Path(program).name]().parse_args(arguments)
