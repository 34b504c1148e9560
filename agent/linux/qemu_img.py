"""Disk images of virtual machines: qemu-img tells what they are and makes raw ones of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.linux import json_output
from agent.linux.run import run

_TIMEOUT_S = 7200.0


@dataclass(frozen=True)
class ImageInfo:
    """A disk image. `virtual_bytes` is the size of the disk inside."""

    format: str
    virtual_bytes: int
    backing_file: str | None = None
    """The image that this one is only a difference to."""
    data_file: str | None = None
    """The other file that holds this image's data."""
    encrypted: bool = False


def parse(text: str) -> ImageInfo:
    """The image in `qemu-img info --output=json` output."""
    fields = json_output.parse_object("qemu-img", text)
    specific = fields.optional_child("format-specific")
    data = specific.optional_child("data") if specific else None
    return ImageInfo(
        format=fields.required_text("format"),
        virtual_bytes=fields.required_integer("virtual-size"),
        backing_file=fields.text("backing-filename"),
        data_file=data.text("data-file") if data else None,
        encrypted=fields.flag("encrypted"),
    )


def info(image: Path, image_format: str) -> ImageInfo:
    """What `image` is, read as the format given: it is never guessed from its content."""
    return parse(run(["qemu-img", "info", "--output=json", "-f", image_format, image]).stdout)


def copy_range(image: Path, image_format: str, offset: int, size: int, target: Path) -> None:
    """Write `size` bytes at `offset` of the disk inside `image` to the raw file `target`.

    Both are multiples of 512. Zeroes become holes.
    """
    options = {
        "driver": "raw",
        "offset": str(offset),
        "size": str(size),
        "file.driver": image_format,
        "file.file.driver": "file",
        "file.file.filename": os.fspath(image).replace(",", ",,"),
    }
    told = ",".join(f"{name}={value}" for name, value in options.items())
    argv: list[str | Path] = ["qemu-img", "convert", "--image-opts", told, "-O", "raw", target]
    run(argv, timeout_s=_TIMEOUT_S)
