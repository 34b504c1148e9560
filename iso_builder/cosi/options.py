"""Options that several `trident-iso cosi` commands share, and how they fail to write."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

from agent.api.errors import Kind, TridentError
from iso_builder.cosi import progress
from iso_builder.cosi.progress import Meter, Style

MAX_LEVEL = 22


def add_progress(command: argparse.ArgumentParser) -> None:
    """`--progress`."""
    command.add_argument(
        "--progress",
        type=Style,
        choices=list(Style),
        default=Style.AUTO,
        help="on standard error: bars (on a terminal), plain lines (elsewhere), json events, none",
    )


def add_packing(command: argparse.ArgumentParser) -> None:
    """`--level` and `--jobs`."""
    command.add_argument(
        "--level",
        type=int,
        choices=range(1, MAX_LEVEL + 1),
        default=9,
        metavar=f"1..{MAX_LEVEL}",
        help="zstd level (default: 9); above 19 much memory is used",
    )
    command.add_argument(
        "--jobs",
        type=_positive,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="compression threads (default: one for each CPU); the bytes are the same",
    )


def progress_meter(
    arguments: argparse.Namespace, stream: TextIO, operation: str
) -> AbstractContextManager[Meter]:
    """The meter that `--progress` asks for."""
    return progress.meter(arguments.progress, stream, operation)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn what the system refuses into an error with a hint. Raises write-output-file."""
    try:
        yield
    except OSError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "write-output-file",
            f"{output} could not be written: {error.strerror or error}",
            hint="name a place that is writable and has room for a copy of the disk",
        ) from error


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value
