"""`trident-iso build --format iso|netboot`, and `live` and `iso`, which are short for it."""

from __future__ import annotations

import argparse
import time
from enum import StrEnum
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.trust.keys import SigningKey
from iso_builder import live_options, netboot_set
from iso_builder.medium import build
from iso_builder.medium import commands as medium


class Format(StrEnum):
    """What the servicing system is built as."""

    ISO = "iso"
    """An installation medium: one image for CD and USB stick."""
    NETBOOT = "netboot"
    """A folder that a boot server hands out."""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands; each sets `run`."""
    command = commands.add_parser("build", help="build an installation medium or an image set")
    command.add_argument("--format", type=Format, choices=list(Format), default=Format.ISO)
    _add_output(command, "FILE|DIR")
    medium.add_building(command)
    live_options.add(command)
    command.set_defaults(run=_build)

    image_set = commands.add_parser("live", help="build the servicing image set")
    _add_output(image_set, "DIR")
    live_options.add(image_set)
    image_set.set_defaults(run=_build, format=Format.NETBOOT)

    iso = commands.add_parser("iso", help="build an installation medium (ISO image and USB stick)")
    _add_output(iso, "FILE")
    medium.add_building(iso)
    live_options.add(iso)
    iso.set_defaults(run=_build, format=Format.ISO)


def _add_output(command: argparse.ArgumentParser, metavar: str) -> None:
    command.add_argument("-o", "--output", type=Path, required=True, metavar=metavar)


def _build(arguments: argparse.Namespace) -> None:
    key = live_options.read_key(arguments)
    if arguments.format is Format.ISO:
        _iso(arguments, key)
    else:
        _netboot(arguments, key)


def _iso(arguments: argparse.Namespace, key: SigningKey | None) -> None:
    if arguments.unsigned_changes and key is None:
        raise _usage("--unsigned-changes says what a medium that is signed with --key allows")
    started = time.monotonic()
    with live_options.building(arguments) as options:
        order = medium.order(arguments, options, build.Trust(key, arguments.unsigned_changes))
        description = build.build(order, arguments.output)
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {size / 2**20:.1f} MiB, {time.monotonic() - started:.1f} s")
    print(f"label: {description.menu.label}")
    _tell_trust(key)


def _netboot(arguments: argparse.Namespace, key: SigningKey | None) -> None:
    given = medium.given(arguments)
    if given:
        raise _usage(
            f"{', '.join(given)}: an image set holds none; the boot server says such things"
        )
    started = time.monotonic()
    with live_options.building(arguments) as options:
        netboot_set.export(options, arguments.output, key)
    print(f"{arguments.output}: servicing image set, {time.monotonic() - started:.1f} s")
    _tell_trust(key)


def _tell_trust(key: SigningKey | None) -> None:
    print("not signed: digests only" if key is None else f"signed by {key.public.identity}")


def _usage(message: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT, "command-line", message, hint="see trident-iso build --help"
    )
