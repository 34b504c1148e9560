"""`trident-iso cosi build|extract|randomize-uuids`: the commands that write files."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from agent.api.parttypes import Architecture
from agent.cosi import writer
from agent.cosi.reader import CosiImage
from iso_builder.cosi import build, extract, randomize
from iso_builder.cosi.options import add_packing, add_progress, progress_meter, writing

Open = Callable[[str], AbstractContextManager[CosiImage]]


def add_build(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`cosi build`."""
    command = actions.add_parser("build", help="make a COSI file of a disk image")
    command.add_argument("disk", type=Path, metavar="DISK", help="raw, qcow2 or fixed VHD")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    command.add_argument(
        "--arch",
        type=Architecture,
        choices=list(Architecture),
        help="architecture of the OS (default: as the image tells)",
    )
    add_packing(command)
    logs = range(writer.MIN_WINDOW_LOG, writer.MAX_WINDOW_LOG + 1)
    command.add_argument(
        "--window-log",
        type=int,
        choices=logs,
        default=writer.WINDOW_LOG,
        metavar=f"{logs[0]}..{logs[-1]}",
        help="zstd looks back 2^N bytes (default: 22); the target needs that much memory",
    )
    command.add_argument(
        "--no-shrink",
        dest="shrink",
        action="store_false",
        help="keep file systems at the size of their partitions",
    )
    add_progress(command)
    command.set_defaults(run=_build)


def add_extract(actions: argparse._SubParsersAction[argparse.ArgumentParser], opened: Open) -> None:
    """`cosi extract`."""
    command = actions.add_parser("extract", help="decompress the images of a COSI file")
    command.add_argument("image", metavar="FILE|URL")
    place = command.add_mutually_exclusive_group(required=True)
    place.add_argument("-o", "--output", type=Path, metavar="DIR", help="each image a raw file")
    place.add_argument(
        "--disk", type=Path, metavar="FILE", help="the whole disk, with its partition tables"
    )
    command.add_argument("--image", dest="only", metavar="PATH", help="only this one")
    add_progress(command)
    command.set_defaults(run=lambda arguments: _extract(command, arguments, opened))


def add_randomize(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], opened: Open
) -> None:
    """`cosi randomize-uuids`."""
    command = actions.add_parser(
        "randomize-uuids", help="make a copy with other file system UUIDs, for an A/B update"
    )
    command.add_argument("image", metavar="FILE|URL")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    command.add_argument(
        "--seed", metavar="TEXT", help="derive the UUIDs from this text: the same text, the same"
    )
    add_packing(command)
    add_progress(command)
    command.set_defaults(run=lambda arguments: _randomize(arguments, opened))


def _build(arguments: argparse.Namespace) -> int:
    options = build.Options(
        architecture=arguments.arch,
        packing=build.Packing(arguments.level, arguments.window_log, arguments.jobs),
        shrink=arguments.shrink,
    )
    started = time.monotonic()
    with (
        progress_meter(arguments, sys.stderr, "cosi-build") as meter,
        writing(arguments.output),
    ):
        digest = build.build(arguments.disk, arguments.output, options, meter)
    _tell(arguments.output, started, digest)
    return 0


def _extract(command: argparse.ArgumentParser, arguments: argparse.Namespace, opened: Open) -> int:
    if arguments.disk is not None and arguments.only is not None:
        command.error("--image goes with --output, not with --disk")
    target: Path = arguments.disk or arguments.output
    with (
        progress_meter(arguments, sys.stderr, "cosi-extract") as meter,
        opened(arguments.image) as image,
        writing(target),
    ):
        if arguments.disk is not None:
            print(f"{target}: {extract.reassemble(image, target, meter)} bytes")
            return 0
        files = extract.chosen(image, arguments.only)
        for place, size in extract.extract(image, files, target, meter):
            print(f"{place}: {size} bytes")
    return 0


def _randomize(arguments: argparse.Namespace, opened: Open) -> int:
    options = randomize.Options(arguments.seed, arguments.level, arguments.jobs)
    started = time.monotonic()
    with (
        progress_meter(arguments, sys.stderr, "cosi-randomize-uuids") as meter,
        opened(arguments.image) as image,
        writing(arguments.output),
    ):
        outcome = randomize.randomize(image, arguments.output, options, meter)
    for old, new in outcome.new_of.items():
        print(f"{old} -> {new}")
    for path in outcome.changed:
        print(f"changed: {path}")
    for path, count in outcome.remaining.items():
        print(f"left: {count} mentions of old UUIDs in {path}, in files that are not known")
    _tell(arguments.output, started, outcome.metadata_sha384)
    return 0


def _tell(output: Path, started: float, digest: str) -> None:
    size = output.stat().st_size
    print(f"{output}: {size / 2**20:.1f} MiB, {time.monotonic() - started:.1f} s")
    print(f"sha384: {digest}")
