"""Holds a COSI file against the specification and against itself: every hash, size and bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.api.errors import TridentError
from agent.cosi import gpt
from agent.cosi.metadata import V1_2, GptRegion
from agent.cosi.reader import MARKER, METADATA, CosiImage, image_files
from agent.cosi.stream import check_image, read_image

Say = Callable[[str], None]

_MAX_TABLE_BYTES = 2048 * 4096


def verify(image: CosiImage, say: Say = lambda _line: None) -> tuple[str, ...]:
    """Read the whole file; what is wrong with it, one sentence each. Empty: nothing."""
    findings = list(_structure(image))
    unique = {file.path: file for file in image_files(image.metadata)}
    sound = True
    for file in unique.values():
        say(f"checking {file.path}")
        try:
            check_image(image, file)
        except TridentError as error:
            findings.append(error.message)
            sound = False
    if sound:
        findings += _table(image)
    return tuple(findings)


def _structure(image: CosiImage) -> Iterator[str]:
    """Rules for the archive that readers forgive and writers must keep (since 1.2)."""
    if image.metadata.version < V1_2:
        return
    paths = list(image.members)
    if paths[0] != MARKER or image.members[MARKER].size:
        yield f"the first entry is not an empty file named {MARKER}"
    elif paths[1] != METADATA:
        yield f"{METADATA} does not follow {MARKER} immediately"
    regions = [region.image.path for region in _regions(image)]
    stored = [path for path in paths if path in set(regions)]
    if stored != regions:
        yield "the images are not in the order of the disk's regions"
    elif paths.index(regions[0]) != paths.index(METADATA) + 1:
        yield f"the partition table does not follow {METADATA} immediately"


def _table(image: CosiImage) -> Iterator[str]:
    """The partition table, and that every image fits its partition."""
    disk = image.metadata.disk
    if disk is None:
        return
    region, *others = _regions(image)
    if region.image.uncompressed_size > _MAX_TABLE_BYTES:
        yield f"the partition table claims {region.image.uncompressed_size} bytes"
        return
    try:
        table = gpt.parse(read_image(image, region.image), disk.size)
    except TridentError as error:
        yield error.message
        return
    if table.lba_size != disk.lba_size:
        yield f"the table's sectors have {table.lba_size} bytes, the metadata says {disk.lba_size}"
    if table.entries_end != region.image.uncompressed_size:
        yield (
            f"the partition table ends at byte {table.entries_end}, "
            f"its image at {region.image.uncompressed_size}"
        )
    yield from _partitions(table, others)


def _partitions(table: gpt.Gpt, regions: list[GptRegion]) -> Iterator[str]:
    entries = {entry.number: entry for entry in table.partitions}
    for region in regions:
        entry = entries.get(region.number or 0)
        if entry is None:
            yield f"{region.image.path}: the table has no partition {region.number}"
        elif region.image.uncompressed_size > table.size(entry):
            yield f"{region.image.path} is larger than partition {region.number}"
    order = [region.number for region in regions if region.number in entries]
    if order != [entry.number for entry in table.partitions if entry.number in set(order)]:
        yield "the regions are not in the order of the disk"


def _regions(image: CosiImage) -> tuple[GptRegion, ...]:
    disk = image.metadata.disk
    return () if disk is None else disk.gpt_regions
