"""A copy of an image with some bytes replaced; it appears when it is complete."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from agent.api.errors import Kind, TridentError
from agent.linux import run
from agent.medium import composite
from agent.medium.composite import Laid

_COPY_TIMEOUT_S = 3600.0


def rewrite(image: Path, changes: Mapping[int, bytes], target: Path) -> None:
    """Copy `image` to `target` (which may be `image`) with bytes replaced at these offsets.

    Raises write-output-file.
    """
    unfinished = target.with_name(f".{target.name}.new")
    try:
        run.run(["cp", "--reflink=auto", image, unfinished], timeout_s=_COPY_TIMEOUT_S)
        with unfinished.open("r+b") as stream:
            for offset, data in changes.items():
                stream.seek(offset)
                stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise not_written(target, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def stream(image: Path, changes: Mapping[int, bytes], target: BinaryIO) -> None:
    """Write `image` to a stream with bytes replaced at these offsets; nothing is kept meanwhile.

    Raises write-output-file.
    """
    try:
        with image.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            laid = Laid.of(changes)
            for block in composite.blocks(source.fileno(), laid, 0, size):
                target.write(block)
        target.flush()
    except OSError as error:
        raise not_written(Path("-"), error) from error


def not_written(target: Path, error: OSError) -> TridentError:
    """The error for an image that the system refuses to write."""
    return TridentError(
        Kind.INVALID_INPUT,
        "write-output-file",
        f"{target} could not be written: {error.strerror or error}",
        hint="name a place that is writable and has room for the whole image",
    )
