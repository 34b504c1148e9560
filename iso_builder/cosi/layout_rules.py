"""Rules of the COSI specification about names, the archive's order and the partition table. Pure.

Readers forgive some of this; writers must keep it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.api import osrelease
from agent.cosi import gpt
from agent.cosi.metadata import V1_2, CosiMetadata, Disk, GptRegion
from agent.cosi.reader import MARKER, METADATA, CosiImage, image_files
from iso_builder.cosi.findings import Finding, Rule


def name(url: str) -> Iterator[Finding]:
    """The name of the file."""
    if not url.endswith(".cosi"):
        yield Finding(Rule.NAME, "the name of the file does not end in .cosi")


def archive(image: CosiImage) -> Iterator[Finding]:
    """The order of the archive."""
    paths = list(image.members)
    known = {MARKER, METADATA, *(file.path for file in image_files(image.metadata))}
    for path in paths:
        if path not in known:
            yield Finding(Rule.LAYOUT, f"{path!r} belongs to nothing", is_advice=True)
    if image.metadata.version < V1_2:
        if next(path for path in paths if path != MARKER) != METADATA:
            yield Finding(Rule.LAYOUT, f"{METADATA} is not the first entry")
        return
    if paths[0] != MARKER or image.members[MARKER].size:
        yield Finding(Rule.LAYOUT, f"the first entry is not an empty file named {MARKER}")
    elif image.members[MARKER].offset != 512:
        yield Finding(Rule.LAYOUT, f"the file does not begin with the name {MARKER}")
    elif paths[1] != METADATA:
        yield Finding(Rule.LAYOUT, f"{METADATA} does not follow {MARKER} immediately")
    yield from _order(paths, [region.image.path for region in _regions(image.metadata)])


def fields(metadata: CosiMetadata, document: Mapping[str, Any]) -> Iterator[Finding]:
    """What the metadata says, beyond the shape of each field."""
    uuids = Counter(image.fs_uuid.lower() for image in metadata.images)
    for uuid, count in uuids.items():
        if count > 1:
            yield Finding(Rule.METADATA, f"{count} file systems have the UUID {uuid}")
    if not osrelease.parse(metadata.os_release):
        yield Finding(Rule.METADATA, "osRelease is not the text of an os-release file")
    for path in _entry_paths(metadata):
        if not path.startswith("/"):
            yield Finding(Rule.METADATA, f"the boot entry {path!r} has no absolute path")
    aliases = {field.alias for field in type(metadata).model_fields.values()}
    for unknown in sorted(set(document) - aliases):
        yield Finding(Rule.METADATA, f"{unknown!r} is no field of COSI", is_advice=True)


def table(metadata: CosiMetadata, disk: Disk, found: gpt.Gpt) -> Iterator[Finding]:
    """The partition table against the metadata."""
    region = disk.gpt_regions[0]
    if found.lba_size != disk.lba_size:
        yield Finding(
            Rule.TABLE,
            f"the table's sectors have {found.lba_size} bytes, the metadata says {disk.lba_size}",
        )
    if found.entries_end != region.image.uncompressed_size:
        yield Finding(
            Rule.TABLE,
            f"the partition table ends at byte {found.entries_end}, "
            f"its image at {region.image.uncompressed_size}",
        )
    yield from _partitions(found, disk.gpt_regions[1:])
    yield from _types(metadata, found, disk.gpt_regions[1:])


def _partitions(found: gpt.Gpt, regions: Sequence[GptRegion]) -> Iterator[Finding]:
    entries = {entry.number: entry for entry in found.partitions}
    for region in regions:
        path, entry = region.image.path, entries.get(region.number or 0)
        if entry is None:
            yield Finding(Rule.TABLE, f"{path}: the table has no partition {region.number}")
        elif region.image.uncompressed_size > found.size(entry):
            yield Finding(Rule.TABLE, f"{path} is larger than partition {region.number}")
    order = [region.number for region in regions if region.number in entries]
    if order != [entry.number for entry in found.partitions if entry.number in set(order)]:
        yield Finding(Rule.TABLE, "the regions are not in the order of the disk")
    for entry in found.partitions:
        if entry.number not in order:
            yield Finding(
                Rule.TABLE, f"partition {entry.number} has no image: it is left empty", True
            )


def _types(
    metadata: CosiMetadata, found: gpt.Gpt, regions: Sequence[GptRegion]
) -> Iterator[Finding]:
    """`partType` is the type in the table."""
    numbers = {region.image.path: region.number for region in regions}
    types = {entry.number: entry.type for entry in found.partitions}
    for image in metadata.images:
        kind = types.get(numbers.get(image.image.path) or 0, image.part_type)
        if kind != image.part_type:
            yield Finding(
                Rule.TABLE,
                f"{image.image.path} has the partition type {kind} in the table, "
                f"its metadata says {image.part_type}",
            )


def _order(paths: Sequence[str], regions: Sequence[str]) -> Iterator[Finding]:
    present = set(regions)
    stored = [path for path in paths if path in present]
    if stored != [path for path in regions if path in set(stored)]:
        yield Finding(Rule.LAYOUT, "the images are not in the order of the disk's regions")
    elif regions and regions[0] in paths and paths.index(regions[0]) != paths.index(METADATA) + 1:
        yield Finding(Rule.LAYOUT, f"the partition table does not follow {METADATA} immediately")


def _entry_paths(metadata: CosiMetadata) -> Iterator[str]:
    loader = metadata.bootloader.systemd_boot if metadata.bootloader else None
    for entry in loader.entries if loader else ():
        yield entry.path


def _regions(metadata: CosiMetadata) -> tuple[GptRegion, ...]:
    return () if metadata.disk is None else metadata.disk.gpt_regions
