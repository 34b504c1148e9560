"""What two COSI files have in common and what not: metadata, packages, images."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.cosi import metadata as cosi_metadata
from agent.cosi.metadata import CosiMetadata, ImageFile, OsPackage
from agent.cosi.reader import CosiImage, image_files
from iso_builder.cosi.contents import CHUNK_BYTES, chunks
from iso_builder.cosi.progress import Meter, Silence

BLOCK_BYTES = 4096
_ELSEWHERE = ("images", "osPackages", "disk", "version", "id")
"""Fields of the metadata that are compared in other ways, or that differ by nature."""


@dataclass(frozen=True)
class Change:
    """A value in the first file and in the second; None where there is none."""

    name: str
    before: str | None
    after: str | None


class ImageState(StrEnum):
    """How an image of the one file relates to that of the other."""

    EQUAL = "equal"
    DIFFERS = "differs"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True)
class ImageChange:
    """An image by the name of its region. Bytes are counted in whole blocks of 4 KiB."""

    name: str
    state: ImageState
    differing_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class Difference:
    """Everything that differs, and all images."""

    metadata: tuple[Change, ...]
    packages: tuple[Change, ...]
    images: tuple[ImageChange, ...] = field(default=())

    @property
    def is_equal(self) -> bool:
        """Whether both files install the same."""
        states = {image.state for image in self.images}
        return not self.metadata and not self.packages and states <= {ImageState.EQUAL}


def compare(first: CosiImage, second: CosiImage, meter: Meter | None = None) -> Difference:
    """Compare two COSI files; images of equal hashes are not read.

    Raises corrupt-os-image, load-cosi.
    """
    return Difference(
        metadata=tuple(_metadata(first.metadata, second.metadata)),
        packages=tuple(_packages(first.metadata, second.metadata)),
        images=tuple(_images(first, second, meter or Silence())),
    )


def _metadata(first: CosiMetadata, second: CosiMetadata) -> Iterator[Change]:
    yield from changes(_facts(first), _facts(second))


def _facts(metadata: CosiMetadata) -> Mapping[str, str]:
    """The metadata as names and values, without what belongs to the images' bytes."""
    document = json.loads(cosi_metadata.dump(metadata))
    facts = {"version": str(metadata.version)}
    for name, value in document.items():
        if name not in _ELSEWHERE:
            facts[name] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    for image in metadata.images:
        facts[f"{image.mount_point} fsType"] = str(image.fs_type)
        facts[f"{image.mount_point} fsUuid"] = image.fs_uuid
        facts[f"{image.mount_point} partType"] = str(image.part_type)
        if image.verity is not None:
            facts[f"{image.mount_point} roothash"] = image.verity.roothash
    if metadata.disk is not None:
        facts["disk size"] = str(metadata.disk.size)
        facts["disk lbaSize"] = str(metadata.disk.lba_size)
    return facts


def _packages(first: CosiMetadata, second: CosiMetadata) -> Iterator[Change]:
    yield from changes(_versions(first), _versions(second))


def _versions(metadata: CosiMetadata) -> Mapping[str, str]:
    """Versions by name and architecture; several of one name (kernels) in one value."""
    found: dict[str, list[str]] = {}
    for package in metadata.os_packages or ():
        name = f"{package.name}.{package.arch}" if package.arch else package.name
        found.setdefault(name, []).append(_version(package))
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _version(package: OsPackage) -> str:
    return f"{package.version}-{package.release}" if package.release else package.version


def changes(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Change]:
    """The values that two tables do not share, by name."""
    for name in sorted(first.keys() | second.keys()):
        before, after = first.get(name), second.get(name)
        if before != after:
            yield Change(name, before, after)


def _images(first: CosiImage, second: CosiImage, meter: Meter) -> Iterator[ImageChange]:
    ours, theirs = _named(first.metadata), _named(second.metadata)
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        before, after = ours.get(name), theirs.get(name)
        if before is None or after is None:
            state = ImageState.ADDED if before is None else ImageState.REMOVED
            size = (before or after or _NOTHING).uncompressed_size
            yield ImageChange(name, state, size, size)
        elif before.sha384 == after.sha384:
            yield ImageChange(name, ImageState.EQUAL, 0, after.uncompressed_size)
        else:
            yield _compared(name, (first, before), (second, after), meter)


_NOTHING = ImageFile(path="none", compressed_size=0, uncompressed_size=0, sha384="0" * 96)


def _named(metadata: CosiMetadata) -> Mapping[str, ImageFile]:
    """The images by what they are, which is the same in both files whatever their paths."""
    names = {image.image.path: str(image.mount_point) for image in metadata.images}
    for image in metadata.images:
        if image.verity is not None:
            names[image.verity.image.path] = f"{image.mount_point} (hash tree)"
    for region in metadata.disk.gpt_regions if metadata.disk else ():
        other = "partition table" if region.number is None else f"partition {region.number}"
        names.setdefault(region.image.path, other)
    return {names[file.path]: file for file in image_files(metadata)}


def _compared(
    name: str,
    first: tuple[CosiImage, ImageFile],
    second: tuple[CosiImage, ImageFile],
    meter: Meter,
) -> ImageChange:
    """Read both at once and count the blocks that differ."""
    total = max(first[1].uncompressed_size, second[1].uncompressed_size)
    differing = done = 0
    with meter.step("comparing", name) as progress:
        for ours, theirs in itertools.zip_longest(chunks(*first), chunks(*second), fillvalue=b""):
            if ours != theirs:
                differing += sum(
                    ours[at : at + BLOCK_BYTES] != theirs[at : at + BLOCK_BYTES]
                    for at in range(0, max(len(ours), len(theirs)), BLOCK_BYTES)
                )
            done = min(done + CHUNK_BYTES, total)
            progress(done, total)
    state = ImageState.DIFFERS if differing else ImageState.EQUAL
    return ImageChange(name, state, differing * BLOCK_BYTES, total)
