"""`trident-iso customize|patch`, and what a medium is told when it is built."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from agent.api import load
from agent.api.errors import Kind, TridentError
from agent.medium import overlay_map
from agent.medium.menu import CONSOLES
from agent.medium.provisions import found, is_provision
from agent.medium.state import State
from iso_builder import live, live_options
from iso_builder.medium import build, customize, embed, mapping, placeholder, provisions

_STANDARD_OUTPUT = Path("-")
_BUILDING = (
    *("image", "unattended", "unsigned_changes", "config", "config_for"),
    *("server", "kernel_arg", "countdown", "pre_install", "network", "ca", "file"),
)
_SERVER = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands; each sets `run`."""
    change = commands.add_parser("customize", help="show or change what a medium was told")
    change.add_argument("iso", type=Path, metavar="ISO")
    change.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="may be ISO itself, or - for standard output",
    )
    change.add_argument("--reset", action="store_true", help="give back the medium as it was built")
    change.add_argument("--show", action="store_true", help="print what the medium was told")
    _add_content(change)
    live_options.add_key(change, "sign the changes")
    change.set_defaults(run=_customize)

    map_ = commands.add_parser("map", help="write the overlay map of a medium anew")
    map_.add_argument("iso", type=Path, metavar="ISO")
    map_.set_defaults(run=_map)

    patch = commands.add_parser("patch", help="fill the placeholders of upstream's ISO images")
    patch.add_argument("iso", type=Path, metavar="ISO")
    patch.add_argument("-o", "--output", type=Path, metavar="FILE", help="may be ISO itself")
    patch.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="FILE:PATH",
        help="put FILE in place of the placeholder of PATH; without any, placeholders are listed",
    )
    patch.set_defaults(run=_patch)


def add_building(command: argparse.ArgumentParser) -> None:
    """Add what only a medium that is built can be told."""
    command.add_argument(
        "--image", type=Path, action="append", default=[], metavar="FILE", help="embed a COSI file"
    )
    command.add_argument(
        "--unattended",
        action="store_true",
        help="install when the countdown ends although nothing is embedded",
    )
    command.add_argument(
        "--unsigned-changes",
        action="store_true",
        help="with --key: what is changed later (customize, boot server) needs no signature",
    )
    _add_content(command)


def given(arguments: argparse.Namespace) -> list[str]:
    """The options of media that were given to a command; of one that has none, nothing."""
    return [f"--{name.replace('_', '-')}" for name in _BUILDING if getattr(arguments, name, None)]


def order(arguments: argparse.Namespace, options: live.Options, trust: build.Trust) -> build.Order:
    """The medium that was asked for. Raises machine-name."""
    return build.Order(
        live=options,
        configurations=tuple(_configurations(arguments)),
        images=tuple(arguments.image),
        arguments=_arguments(arguments),
        countdown_s=10 if arguments.countdown is None else arguments.countdown,
        unattended=arguments.unattended,
        trust=trust,
        provisions=provisions.read(arguments),
    )


def _add_content(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help="Host Configuration")
    command.add_argument(
        "--config-for",
        nargs=2,
        action="append",
        default=[],
        metavar=("MACHINE", "FILE"),
        help="Host Configuration of the machine with this MAC address, serial number or UUID",
    )
    provisions.add_options(command)
    command.add_argument("--server", type=_server, metavar="URL", help="address of a boot server")
    command.add_argument(
        "--kernel-arg", action="append", default=[], metavar="WORD", help="one kernel argument"
    )
    command.add_argument(
        "--countdown", type=int, metavar="SECONDS", help="before the menu's default starts (10)"
    )


def _customize(arguments: argparse.Namespace) -> None:
    order = customize.Order(
        configurations=tuple(_configurations(arguments)),
        arguments=_arguments(arguments),
        countdown_s=arguments.countdown,
        provisions=provisions.read(arguments),
    )
    changes = order != customize.Order()
    if arguments.show or not (changes or arguments.reset):
        print("\n".join(describe(customize.read(arguments.iso))))
        return
    if changes and arguments.reset:
        raise _usage("--reset gives back what was built and takes no changes")
    output = _output(arguments)
    streams = output == _STANDARD_OUTPUT
    target = sys.stdout.buffer if streams else output
    key = live_options.read_key(arguments)
    started = time.monotonic()
    if arguments.reset:
        state = customize.reset(arguments.iso, target)
    else:
        state = customize.customize(arguments.iso, order, target, key)
    said = sys.stderr if streams else sys.stdout
    print("\n".join(describe(state)), file=said)
    print(f"{output}: written in {time.monotonic() - started:.1f} s", file=said)


def _map(arguments: argparse.Namespace) -> None:
    built = customize.read(arguments.iso).built
    drawn = mapping.write(arguments.iso, built)
    print(f"{overlay_map.beside(arguments.iso)}: sha384 {drawn.base.sha384}")


def _patch(arguments: argparse.Namespace) -> None:
    if not arguments.patch:
        for one in placeholder.find(arguments.iso):
            print(f"{one.path}: room for {one.size} bytes")
        return
    files = {}
    for pair in arguments.patch:
        source, separator, path = pair.rpartition(":")
        if not separator or not source or not path.startswith("/"):
            raise _usage(f"--patch {pair} is not FILE:/PATH")
        files[path] = load.read_file(Path(source))
    placeholder.patch(arguments.iso, files, _output(arguments))


def describe(state: State) -> Iterator[str]:
    """What `--show` prints."""
    menu, built = state.menu, state.built
    brought = found(state.files)
    later = sorted(name for name in state.files if not is_provision(name))
    words = [word for word in menu.arguments if word not in CONSOLES]
    yield f"label          {menu.label}"
    yield f"built by       {built.builder}"
    yield f"as built       {'yes' if state.is_pristine else 'no, customised'}"
    yield f"unattended     {f'after {menu.countdown_s} s' if menu.unattended else 'no'}"
    yield f"arguments      {' '.join(words) or '-'}"
    for name, digest in sorted(built.images.items()):
        yield f"image          {name} (sha384 {digest})"
    for name in sorted({*built.configurations, *later}):
        yield f"configuration  {name}{' (embedded later)' if name in later else ''}"
    for line in built.provisions:
        yield f"brings         {line}"
    for kind, what in brought.describe():
        yield f"brings         {kind}: {what} (embedded later)"


def _configurations(arguments: argparse.Namespace) -> Iterator[embed.Configuration]:
    if arguments.config is not None:
        yield embed.Configuration(None, arguments.config)
    for machine, file in arguments.config_for:
        yield embed.Configuration(machine, Path(file))


def _arguments(arguments: argparse.Namespace) -> tuple[str, ...]:
    return (*build.server_argument(arguments.server), *arguments.kernel_arg)


def _output(arguments: argparse.Namespace) -> Path:
    if arguments.output is None:
        raise _usage("name the file to write with -o (it may be the image itself)")
    path: Path = arguments.output
    return path


def _server(text: str) -> str:
    if not _SERVER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text} is not an http or https URL")
    return text


def _usage(message: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "command-line",
        message,
        hint="see trident-iso customize --help and trident-iso patch --help",
    )
