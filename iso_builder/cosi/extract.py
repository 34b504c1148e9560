"""COSI files taken apart: single images as raw files, or the whole disk put together again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from agent.api.errors import Kind, TridentError, context
from agent.cosi import gpt
from agent.cosi.metadata import Disk, ImageFile
from agent.cosi.reader import CosiImage, image_files
from agent.cosi.stream import extract_image, pour_image, read_image
from agent.linux.files import sync_directory
from iso_builder.cosi.progress import Meter, Silence
from iso_builder.cosi.sinks import SparseSink

_SUFFIXES = (".zst", ".rawzst", ".zstd")


def chosen(image: CosiImage, path: str | None) -> Sequence[ImageFile]:
    """The image at `path` in the archive, or all of them.

    Raises missing-os-image-filesystem.
    """
    files = {file.path: file for file in image_files(image.metadata)}
    if path is None:
        return list(files.values())
    if path not in files:
        raise TridentError(
            Kind.INVALID_INPUT,
            "missing-os-image-filesystem",
            f"the COSI file holds no image {path!r}",
            hint=f"it holds: {', '.join(files)}",
        )
    return [files[path]]


def extract(
    image: CosiImage, files: Sequence[ImageFile], folder: Path, meter: Meter | None = None
) -> Iterator[tuple[Path, int]]:
    """Write images into `folder`, each complete and verified; their places and sizes.

    Raises corrupt-os-image, load-cosi, deploy-images, OSError.
    """
    meter = meter or Silence()
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / plain_name(file.path)
        with meter.step("extracting", file.path) as progress:
            extract_image(image, file, target, progress=progress)
        yield target, file.uncompressed_size


def reassemble(image: CosiImage, target: Path, meter: Meter | None = None) -> int:
    """Write the disk that the COSI file was made of, with both partition tables; its size.

    File systems that were shrunk stay small in their partitions. Space that belongs to no partition
    is empty. `target` is sparse and appears only when it is complete.
    Raises image-without-disk, corrupt-os-image, load-cosi, write-output-file, OSError.
    """
    disk = _disk(image)
    meter = meter or Silence()
    front = read_image(image, disk.gpt_regions[0].image)
    table = gpt.parse(front, disk.size)
    entries = {entry.number: entry for entry in table.partitions}
    target.parent.mkdir(parents=True, exist_ok=True)
    with context(f"writing the disk {target}"), _published(target) as descriptor:
        os.truncate(descriptor, disk.size)
        start, backup = gpt.backup(front, table)
        for place, content in ((0, front), (start, backup)):
            sink = SparseSink(target, descriptor, place, len(content))
            sink.write(0, memoryview(content))
        for region in disk.gpt_regions[1:]:
            entry = entries.get(region.number or 0)
            if entry is None:
                raise _contradiction(f"the partition table has no partition {region.number}")
            sink = SparseSink(target, descriptor, table.offset(entry), table.size(entry))
            with meter.step("writing", region.image.path) as progress:
                pour_image(image, region.image, sink, progress=progress)
    return disk.size


def plain_name(path: str) -> str:
    """`images/a/b.raw.zst` becomes `a_b.raw`."""
    inner = "_".join(PurePosixPath(path).parts[1:])
    for suffix in _SUFFIXES:
        if inner.endswith(suffix):
            return inner.removesuffix(suffix) + (".raw" if suffix == ".rawzst" else "")
    return inner


def _disk(image: CosiImage) -> Disk:
    if image.metadata.disk is None:
        raise TridentError(
            Kind.UNSUPPORTED_CONFIGURATION,
            "image-without-disk",
            f"the COSI file is of version {image.metadata.version} and holds no partition table",
            hint="extract its images one by one, or build it anew as version 1.2",
        )
    return image.metadata.disk


def _contradiction(what: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "corrupt-os-image",
        what,
        hint="rebuild the image; check it with 'trident-iso cosi verify'",
    )


@contextmanager
def _published(target: Path) -> Iterator[int]:
    """A new file that gets its name, durably, only when the block ends well."""
    partial = target.with_name(f".{target.name}.partial")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
        os.fsync(descriptor)
        os.rename(partial, target)
        sync_directory(target.parent)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)
