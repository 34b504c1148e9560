"""`trident-iso cache list|prune`: look at the build cache, and make room."""

from __future__ import annotations

import argparse
import math
import time
from datetime import UTC, datetime

from agent.api.errors import Kind, TridentError
from iso_builder import cache, entries

_DAY_S = 86_400.0
_GIB = 1 << 30


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `cache` and its commands; each sets `run`."""
    top = commands.add_parser("cache", help="look at the build cache, and make room")
    actions = top.add_subparsers(title="commands", required=True)
    listing = actions.add_parser("list", help="show what is kept, the longest unused first")
    listing.set_defaults(run=_list)
    prune = actions.add_parser(
        "prune",
        help="remove what is not used any more",
        description="Removes entries of the build cache; never one that another build uses now.",
    )
    prune.add_argument(
        "--older-than",
        type=_amount,
        metavar="DAYS",
        help=f"what was not used for so many days (default without --keep-gib:"
        f" {cache.UNUSED_S / _DAY_S:g})",
    )
    prune.add_argument(
        "--keep-gib",
        type=_amount,
        metavar="N",
        help="the longest unused, until no more than N GiB are left",
    )
    prune.set_defaults(run=_prune)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 or more")
    return value


def _list(_arguments: argparse.Namespace) -> None:
    total = 0
    kept = entries.found(cache.root())
    width = max((len(entry.name) for entry in kept), default=0)
    if kept:
        print(f"{'ENTRY':<{width}} {'MIB':>7}  {'CONTENT OF':<16}  {'LAST USED':<16}  (UTC)")
    for entry in kept:
        size = entry.size_bytes()
        total += size
        note = "  in use" if entries.in_use(entry.path) else ""
        times = f"{_time(entry.made)}  {_time(entry.used)}"
        print(f"{entry.name:<{width}} {size / 2**20:>7.0f}  {times}{note}")
    print(f"{cache.root()}: {len(kept)} entries, {total / _GIB:.1f} GiB")


def _prune(arguments: argparse.Namespace) -> None:
    older_than, keep_gib = arguments.older_than, arguments.keep_gib
    unused_s = older_than * _DAY_S if older_than is not None else None
    if older_than is None and keep_gib is None:
        unused_s = cache.UNUSED_S
    keep_bytes = int(keep_gib * _GIB) if keep_gib is not None else None
    now = time.time()
    try:
        done = entries.prune(cache.root(), now=now, unused_s=unused_s, keep_bytes=keep_bytes)
    except OSError as error:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "cache-not-writable",
            f"{error.filename or cache.root()} cannot be removed: {error.strerror}",
            hint="run the command as the user who built the entries (with sudo, if that was root)",
        ) from error
    for entry in done.removed:
        print(f"removed {entry.name}, last used {_time(entry.used)}")
    for entry in done.in_use:
        print(f"kept {entry.name}: in use")
    freed = f"{done.freed_bytes / _GIB:.1f} GiB"
    print(f"{cache.root()}: {len(done.removed)} entries removed, {freed} freed")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
