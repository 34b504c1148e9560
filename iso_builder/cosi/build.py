"""A disk image becomes a COSI file of version 1.2 (upstream's specification).

The metadata is read out of the image itself: nothing is mounted, nothing of the disk is changed.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.api.parttypes import Architecture
from agent.cosi import metadata as cosi_metadata
from agent.cosi import writer
from agent.cosi.metadata import (
    Compression,
    CosiMetadata,
    Disk,
    DiskType,
    GptRegion,
    Image,
    ImageFile,
    OsPackage,
    RegionType,
    Verity,
)
from iso_builder.cosi import verity
from iso_builder.cosi.diskfile import open_disk
from iso_builder.cosi.installed_os import Filesystem, InstalledOs, examine
from iso_builder.cosi.progress import Meter, Silence
from iso_builder.cosi.rawdisk import Piece, RawDisk, shrink, take_apart

_GPT_PATH = "images/primary-gpt.raw.zst"
_NAMESPACE = uuid.UUID("5c8d63a5-7f3f-5c0e-9a3c-6d1f4a6f2b10")


@dataclass(frozen=True)
class Packing:
    """How regions are compressed: zstd's level and window log, and its threads."""

    level: int = 9
    window_log: int = writer.WINDOW_LOG
    threads: int = 1


@dataclass(frozen=True)
class Options:
    """`architecture` None: as the image tells."""

    architecture: Architecture | None = None
    packing: Packing = Packing()
    shrink: bool = True


def build(disk: Path, output: Path, options: Options, meter: Meter | None = None) -> str:
    """Write the COSI file; returns the SHA-384 of its metadata, as `image.sha384` wants it.

    `output` appears only when it is complete. Needs room beside it for a copy of the disk.
    Raises corrupt-os-image, read-input-file, disk-format-unsupported, image-not-understood,
    command-failed.
    """
    meter = meter or Silence()
    _check_apart(disk, output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        context(f"building {output} from {disk}"),
        tempfile.TemporaryDirectory(prefix=".trident-cosi-", dir=output.parent) as folder,
    ):
        workspace = Path(folder)
        meter.note(f"opening {disk}")
        raw = take_apart(open_disk(disk), workspace, meter)
        installed = examine(raw, options.architecture)
        _prepare(raw.pieces, installed, options, meter)
        regions = [(_GPT_PATH, raw.table_region)]
        regions += [(_path(piece.entry.number), piece.region) for piece in raw.pieces]
        packed = [
            compress(path, region, workspace, options.packing, meter) for path, region in regions
        ]
        document = cosi_metadata.dump(
            _metadata(raw, installed, options, [file for file, _ in packed])
        )
        return assemble(output, document, packed)


def compress(
    path: str, region: writer.Region, workspace: Path, packing: Packing, meter: Meter
) -> tuple[ImageFile, Path]:
    """The region as the metadata describes it, and the file that holds it compressed."""
    target = workspace / flat_name(path)
    with meter.step("compressing", path) as progress:
        packed = writer.compress(
            region,
            target,
            level=packing.level,
            window_log=packing.window_log,
            threads=packing.threads,
            progress=progress,
        )
    file = ImageFile(
        path=path,
        compressed_size=packed.compressed_size,
        uncompressed_size=packed.uncompressed_size,
        sha384=packed.sha384,
    )
    return file, target


def assemble(output: Path, document: bytes, packed: Sequence[tuple[ImageFile, Path]]) -> str:
    """Write the archive of this metadata and these images; the SHA-384 of the metadata."""
    cosi_metadata.parse(document)
    writer.assemble(output, document, [(file.path, place) for file, place in packed])
    return hashlib.sha384(document).hexdigest()


def identifier(files: Sequence[ImageFile]) -> uuid.UUID:
    """The identifier of a COSI file with these images: the same content, the same identifier."""
    return uuid.uuid5(_NAMESPACE, "".join(file.sha384 for file in files))


def _check_apart(disk: Path, output: Path) -> None:
    if output.exists() and disk.exists() and output.samefile(disk):
        raise TridentError(
            Kind.INVALID_INPUT,
            "write-output-file",
            f"{output} is the disk that the COSI file is to be made of",
            hint="name another file after --output",
        )


def flat_name(path: str) -> str:
    """A file name for the member at `path` of an archive, different for each."""
    return path.replace("_", "__").replace("/", "_")


def _path(number: int) -> str:
    return f"images/partition-{number}.raw.zst"


def _prepare(
    pieces: Sequence[Piece], installed: InstalledOs, options: Options, meter: Meter
) -> None:
    """Check what dm-verity seals, and shrink the rest."""
    pairs = [entry.verity for entry in installed.filesystems if entry.verity is not None]
    for pair in pairs:
        meter.note(f"checking partition {pair.data.entry.number} against its root hash")
        verity.check(pair)
    sealed = {
        number for pair in pairs for number in (pair.data.entry.number, pair.tree.entry.number)
    }
    for piece in pieces:
        if options.shrink and piece.entry.number not in sealed and shrink(piece):
            meter.note(f"partition {piece.entry.number} had errors; its copy is repaired")


def _metadata(
    raw: RawDisk, installed: InstalledOs, options: Options, files: Sequence[ImageFile]
) -> CosiMetadata:
    """`files` are the partition table and the partitions, in the order of the disk."""
    table, *partitions = files
    of_number = {
        piece.entry.number: file for piece, file in zip(raw.pieces, partitions, strict=True)
    }
    regions = [GptRegion(image=table, type=RegionType.PRIMARY_GPT)]
    regions += [
        GptRegion(image=file, type=RegionType.PARTITION, number=number)
        for number, file in of_number.items()
    ]
    return CosiMetadata(
        version=str(cosi_metadata.V1_2),
        os_arch=str(installed.architecture),
        os_release=installed.release,
        images=tuple(_images(installed.filesystems, of_number)),
        os_packages=tuple(
            OsPackage(name=item.name, version=item.version, release=item.release, arch=item.arch)
            for item in installed.packages
        ),
        id=identifier(files),
        bootloader=installed.bootloader,
        disk=Disk(
            size=raw.size,
            type=DiskType.GPT,
            lba_size=raw.table.lba_size,
            gpt_regions=tuple(regions),
        ),
        compression=Compression(max_window_log=options.packing.window_log),
    )


def _images(
    filesystems: Sequence[Filesystem], of_number: Mapping[int, ImageFile]
) -> Iterator[Image]:
    for entry in filesystems:
        pair = entry.verity
        yield Image(
            image=of_number[entry.piece.entry.number],
            mount_point=entry.mount_point,
            fs_type=entry.type,
            fs_uuid=entry.uuid,
            part_type=str(entry.part_type),
            verity=pair
            and Verity(image=of_number[pair.tree.entry.number], roothash=pair.root_hash),
        )
