"""`trident-iso diff`: what differs between two media, image sets or locks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from iso_builder.contrast import Contrast, contrast
from iso_builder.cosi.compare import Change

DIFFERENT = 2
"""Exit status when something differs."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets `run`."""
    command = commands.add_parser("diff", help="compare two media, two image sets or two locks")
    command.add_argument("first", type=Path, metavar="ISO|DIR|LOCK")
    command.add_argument("second", type=Path, metavar="ISO|DIR|LOCK")
    command.add_argument("--format", choices=["text", "json"], default="text")
    command.set_defaults(run=_diff)


def _diff(arguments: argparse.Namespace) -> int:
    found = contrast(arguments.first, arguments.second)
    if arguments.format == "json":
        print(json.dumps({"equal": found.is_equal, **asdict(found)}, indent=2))
    else:
        print("\n".join(lines(found)))
    return 0 if found.is_equal else DIFFERENT


def lines(found: Contrast) -> Iterator[str]:
    """The differences for people."""
    if found.is_equal:
        yield "equal"
    for title, changes in (
        ("properties", found.properties),
        ("packages", found.packages),
        ("kernel arguments", found.arguments),
        ("files", found.files),
    ):
        yield from _table(title, changes)
    for text in found.configurations:
        yield f"configuration {text.name}:"
        yield from (f"  {line}" for line in text.lines)


def _table(title: str, changes: tuple[Change, ...]) -> Iterator[str]:
    if changes:
        yield f"{title}:"
    for change in changes:
        yield f"  {change.name}: {change.before or '-'} -> {change.after or '-'}"
