"""The door: `trident-iso` on the command line. The only place that turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import agent
from agent.api.errors import TridentError
from agent.api.units import ByteCount
from iso_builder import (
    build_command,
    cache_command,
    contrast_command,
    osimage,
    trust_commands,
)
from iso_builder.cosi import commands as cosi
from iso_builder.medium import commands as medium

Command = Callable[[argparse.Namespace], int | None]


def parser() -> argparse.ArgumentParser:
    """The command line grammar; each command sets `run`."""
    top = argparse.ArgumentParser(
        prog="trident-iso", description="builds servicing images, installation media and COSI files"
    )
    top.add_argument(
        "-V", "--version", action="version", version=f"trident-iso {agent.__version__}"
    )
    commands = top.add_subparsers(title="commands", required=True)
    build_command.add_parsers(commands)
    _add_os_image(commands)
    medium.add_parsers(commands)
    trust_commands.add_parsers(commands)
    contrast_command.add_parser(commands)
    cosi.add_parser(commands)
    cache_command.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = parser().parse_args(argv)
    command: Command = arguments.run
    # What is built must not depend on who builds it.
    os.umask(0o022)
    try:
        return command(arguments) or 0
    except TridentError as error:
        if not cosi.tells_errors(arguments):
            print(error.render(), file=sys.stderr)
        return 1


def _add_os_image(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("os-image", help="build the sample operating system")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    command.add_argument(
        "--variant",
        type=osimage.BootVariant,
        choices=list(osimage.BootVariant),
        default=osimage.BootVariant.GRUB,
        help="how it boots: signed shim and GRUB, or systemd-boot and a UKI",
    )
    command.add_argument("--version", default="1", help="image version; each has its own UUIDs")
    command.add_argument(
        "--size", type=_size, default=0, metavar="N[M|G]", help="size of the root file system"
    )
    command.add_argument(
        "--selinux", action="store_true", help="with an SELinux policy and the tools to use it"
    )
    command.set_defaults(run=_os_image)


def _size(text: str) -> int:
    try:
        return ByteCount.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _os_image(arguments: argparse.Namespace) -> None:
    options = osimage.Options(
        arguments.variant, arguments.version, arguments.size, arguments.selinux
    )
    started = time.monotonic()
    osimage.export(options, arguments.output)
    print(f"{arguments.output}: {options.name}, {time.monotonic() - started:.1f} s")
