"""The options of a servicing image on the command line, for every command that builds one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from agent.trust import keys
from agent.trust.keys import SigningKey
from iso_builder import cache, live, lock, packages


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
    command.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help="build from the package versions in FILE; written when it is not there yet",
    )
    command.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="LINE",
        help="take packages from this source instead of the usual archive: a line of an apt source"
        " list or a URL; {suite} in it is the suite",
    )
    command.add_argument(
        "--no-cache", action="store_true", help="build everything anew and keep nothing"
    )
    add_key(command, "sign the list of contents; what is built trusts this key only")


def add_key(command: argparse.ArgumentParser, what: str) -> None:
    """Add `--key` to a command that signs."""
    command.add_argument("--key", type=Path, metavar="FILE", help=f"private key: {what}")


def read_key(arguments: argparse.Namespace) -> SigningKey | None:
    """The key that was named. Raises read-input-file, signing-key."""
    return None if arguments.key is None else keys.load_signing(arguments.key)


@contextmanager
def building(arguments: argparse.Namespace) -> Iterator[live.Options]:
    """What was given, to be built in the block; at its end a lock that was missing is written.

    Raises read-input-file, lock-mismatch.
    """
    with cache.apart() if arguments.no_cache else nullcontext():
        is_locked = arguments.lock is not None and arguments.lock.exists()
        origin = lock.Origin(
            lock=lock.read(arguments.lock) if is_locked else None,
            mirrors=tuple(arguments.mirror),
        )
        options = _options(arguments, origin)
        yield options
        if arguments.lock is not None and not is_locked:
            lock.write(arguments.lock, live.recipes(options))


def _options(arguments: argparse.Namespace, origin: lock.Origin) -> live.Options:
    return live.Options(
        kernel=arguments.kernel,
        firmware=tuple(sorted(set(arguments.firmware))),
        include=tuple(sorted(set(arguments.include))),
        origin=origin,
    )
