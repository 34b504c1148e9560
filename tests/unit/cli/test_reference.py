"""The reference page of the command says what the command line takes."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from agent.cli import parser

PAGE = Path(__file__).parents[3] / "docs/reference/trident-command.md"


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = [
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(action.choices)


def test_every_command_has_a_line_and_every_line_is_a_command() -> None:
    documented = set(re.findall(r"^\| `trident ([a-z-]+)", PAGE.read_text(), re.MULTILINE))
    assert documented == set(commands())


def test_every_option_on_the_page_exists() -> None:
    known = {
        option
        for command in [parser(), *commands().values()]
        for option in command._option_string_actions
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text())) <= known


def test_commands_on_the_page_are_parsed() -> None:
    for line in re.findall(r"^\| `(trident [^`]+)`", PAGE.read_text(), re.MULTILINE):
        words = line.replace(r"\|", "|").split()[1:]
        plain = [word for word in words if not word.startswith("[") and not word.endswith("]")]
        assert parser().parse_args(plain).command == plain[0]
