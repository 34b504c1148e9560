"""The options of a servicing image on the command line, for every command that builds one."""

from __future__ import annotations

import argparse

from iso_builder import live, packages


def add(command: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
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


def read(arguments: argparse.Namespace) -> live.Options:
    """What was given."""
    return live.Options(
        kernel=arguments.kernel,
        firmware=tuple(sorted(set(arguments.firmware))),
        include=tuple(sorted(set(arguments.include))),
    )
