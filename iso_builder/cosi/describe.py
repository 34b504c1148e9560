"""What a COSI file holds, as lines for people and as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from agent.api.parttypes import kind_of
from agent.cosi import gpt
from agent.cosi import metadata as cosi_metadata
from agent.cosi.metadata import CosiMetadata, GptRegion
from agent.cosi.reader import CosiImage, image_files
from agent.cosi.stream import read_image

_MIB = 2**20


def text(image: CosiImage, *, packages: bool = False) -> Iterator[str]:
    """The lines `inspect` prints; `packages`: with all of them."""
    metadata = image.metadata
    yield f"image        {image.source.url} ({image.source.size / _MIB:.1f} MiB)"
    yield f"version      {metadata.version}"
    yield f"sha384       {image.metadata_sha384}"
    yield f"id           {metadata.id or '-'}"
    yield f"architecture {metadata.os_arch}"
    yield f"os           {metadata.os_id}"
    yield f"packages     {len(metadata.os_packages or ())}"
    yield f"boot loader  {metadata.bootloader.type if metadata.bootloader else 'not told'}"
    yield from (f"  {line}" for line in _boot_entries(metadata))
    if metadata.compression is not None:
        yield f"compression  zstd, window of 2^{metadata.compression.max_window_log} bytes"
    table = read_table(image)
    if metadata.disk is not None and table is not None:
        yield f"disk         {metadata.disk.size} bytes, sectors of {table.lba_size} bytes"
        yield f"disk GUID    {table.disk_guid}"
        yield "partitions"
        yield from (f"  {line}" for line in _partitions(metadata, table))
    yield "file systems"
    yield from (f"  {line}" for line in _filesystems(metadata))
    yield "images"
    yield from (f"  {line}" for line in _images(metadata))
    if packages:
        yield "installed"
        for package in metadata.os_packages or ():
            yield f"  {package.name} {package.version} {package.release} {package.arch}"


def document(image: CosiImage) -> dict[str, object]:
    """The JSON document `inspect --json` prints."""
    table = read_table(image)
    return {
        "url": image.source.url,
        "size": image.source.size,
        "metadataSha384": image.metadata_sha384,
        "metadata": json.loads(cosi_metadata.dump(image.metadata)),
        "partitions": None if table is None else [_partition(table, e) for e in table.partitions],
        "members": [
            {"path": member.path, "offset": member.offset, "size": member.size}
            for member in image.members.values()
        ],
    }


def read_table(image: CosiImage) -> gpt.Gpt | None:
    """The partition table in a COSI file; None when it carries none. Raises corrupt-os-image."""
    disk = image.metadata.disk
    if disk is None:
        return None
    return gpt.parse(read_image(image, disk.gpt_regions[0].image), disk.size)


def _partition(table: gpt.Gpt, entry: gpt.Partition) -> dict[str, object]:
    return {
        "number": entry.number,
        "name": entry.name,
        "type": str(entry.type),
        "guid": str(entry.guid),
        "offset": table.offset(entry),
        "size": table.size(entry),
    }


def _partitions(metadata: CosiMetadata, table: gpt.Gpt) -> Iterator[str]:
    points = {image.image.path: str(image.mount_point) for image in metadata.images}
    for image in metadata.images:
        if image.verity is not None:
            points[image.verity.image.path] = f"hash tree of {image.mount_point}"
    regions = {region.number: region for region in _regions(metadata)}
    for entry in table.partitions:
        region = regions.get(entry.number)
        point = points.get(region.image.path, "-") if region else "no image"
        yield (
            f"{entry.number:>3} {table.offset(entry) / _MIB:>9.1f} MiB "
            f"{table.size(entry) / _MIB:>9.1f} MiB  {kind_of(entry.type) or entry.type!s:<14} "
            f"{entry.guid} {entry.name or '-':<12} {point}"
        )


def _filesystems(metadata: CosiMetadata) -> Iterator[str]:
    for image in metadata.images:
        sealed = f"  roothash {image.verity.roothash}" if image.verity else ""
        yield f"{image.mount_point!s:<14} {image.fs_type:<8} {image.fs_uuid:<36}{sealed}"


def _images(metadata: CosiMetadata) -> Iterator[str]:
    for file in {file.path: file for file in image_files(metadata)}.values():
        yield (
            f"{file.path}: {file.uncompressed_size} bytes, {file.compressed_size} compressed, "
            f"sha384 {file.sha384}"
        )


def _boot_entries(metadata: CosiMetadata) -> Iterator[str]:
    loader = metadata.bootloader.systemd_boot if metadata.bootloader else None
    for entry in loader.entries if loader else ():
        yield f"{entry.type} {entry.path} kernel {entry.kernel}: {entry.cmdline}"


def _regions(metadata: CosiMetadata) -> Sequence[GptRegion]:
    return () if metadata.disk is None else metadata.disk.gpt_regions
