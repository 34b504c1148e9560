"""The door: `trident-iso` on the command line. The only place that turns errors into exit codes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import agent
from agent.api.errors import TridentError
from iso_builder import live, packages

Command = Callable[[argparse.Namespace], None]


def parser() -> argparse.ArgumentParser:
    """The command line grammar; each command sets `run`."""
    top = argparse.ArgumentParser(
        prog="trident-iso", description="builds servicing images, sample OS images and COSI files"
    )
    top.add_argument(
        "-V", "--version", action="version", version=f"trident-iso {agent.__version__}"
    )
    commands = top.add_subparsers(title="commands", required=True)
    _add_live(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = parser().parse_args(argv)
    command: Command = arguments.run
    try:
        command(arguments)
    except TridentError as error:
        print(error.render(), file=sys.stderr)
        return 1
    return 0


def _add_live(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("live", help="build the servicing image set")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--kernel",
        type=packages.KernelFlavour,
        choices=list(packages.KernelFlavour),
        default=packages.KernelFlavour.GENERIC,
        help="cloud: a small kernel with the drivers of virtual machines only",
    )
    command.add_argument(
        "--firmware",
        nargs="+",
        action="extend",
        default=[],
        metavar="PKG",
        help="firmware packages",
    )
    command.add_argument(
        "--include", nargs="+", action="extend", default=[], metavar="PKG", help="further packages"
    )
    command.set_defaults(run=_live)


def _live(arguments: argparse.Namespace) -> None:
    options = live.Options(
        kernel=arguments.kernel,
        firmware=tuple(sorted(set(arguments.firmware))),
        include=tuple(sorted(set(arguments.include))),
    )
    started = time.monotonic()
    live.export(options, arguments.output)
    print(f"{arguments.output}: servicing image set, {time.monotonic() - started:.1f} s")
