"""A raw disk image becomes a COSI file of version 1.2 (upstream's specification).

The metadata is read out of the image itself: nothing is mounted, nothing of the disk is changed.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.api.errors import context
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
)
from iso_builder.installed_os import InstalledOs, examine
from iso_builder.rawdisk import RawDisk, take_apart

Say = Callable[[str], None]

_GPT_PATH = "images/primary-gpt.raw.zst"
_NAMESPACE = uuid.UUID("5c8d63a5-7f3f-5c0e-9a3c-6d1f4a6f2b10")


@dataclass(frozen=True)
class Options:
    """`architecture` None: as the image tells. `level` is zstd's, `jobs` its threads."""

    architecture: Architecture | None = None
    level: int = 9
    jobs: int = 1
    shrink: bool = True


def build(disk: Path, output: Path, options: Options, say: Say = lambda _line: None) -> str:
    """Write the COSI file; returns the SHA-384 of its metadata, as `image.sha384` wants it.

    `output` appears only when it is complete.
    Raises corrupt-os-image, read-input-file, image-not-understood, command-failed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        context(f"building {output} from {disk}"),
        tempfile.TemporaryDirectory(prefix=".trident-cosi-", dir=output.parent) as folder,
    ):
        say(f"reading {disk}")
        raw = take_apart(disk, Path(folder), shrink=options.shrink)
        installed = examine(raw)
        regions = [(_GPT_PATH, raw.table_region)]
        regions += [(_path(piece.entry.number), piece.region) for piece in raw.pieces]
        packed = [_compress(path, region, Path(folder), options, say) for path, region in regions]
        document = cosi_metadata.dump(
            _metadata(raw, installed, options, [file for file, _ in packed])
        )
        cosi_metadata.parse(document, minimum=cosi_metadata.V1_2)
        writer.assemble(output, document, [(file.path, place) for file, place in packed])
        return hashlib.sha384(document).hexdigest()


def _path(number: int) -> str:
    return f"images/partition-{number}.raw.zst"


def _compress(
    path: str, region: writer.Region, workspace: Path, options: Options, say: Say
) -> tuple[ImageFile, Path]:
    """The region as the metadata describes it, and the file that holds it compressed."""
    target = workspace / PurePosixPath(path).name
    packed = writer.compress(region, target, level=options.level, threads=options.jobs)
    mebibytes = packed.uncompressed_size / 2**20, packed.compressed_size / 2**20
    say(f"{path}: {mebibytes[0]:.1f} MiB compressed to {mebibytes[1]:.1f} MiB")
    file = ImageFile(
        path=path,
        compressed_size=packed.compressed_size,
        uncompressed_size=packed.uncompressed_size,
        sha384=packed.sha384,
    )
    return file, target


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
        os_arch=str(options.architecture or installed.architecture),
        os_release=installed.release,
        images=tuple(
            Image(
                image=of_number[entry.piece.entry.number],
                mount_point=entry.mount_point,
                fs_type=entry.type,
                fs_uuid=entry.uuid,
                part_type=str(entry.part_type),
            )
            for entry in installed.filesystems
        ),
        os_packages=tuple(
            OsPackage(name=item.name, version=item.version, release=item.release, arch=item.arch)
            for item in installed.packages
        ),
        id=uuid.uuid5(_NAMESPACE, "".join(file.sha384 for file in files)),
        bootloader=installed.bootloader,
        disk=Disk(
            size=raw.size,
            type=DiskType.GPT,
            lba_size=raw.table.lba_size,
            gpt_regions=tuple(regions),
        ),
        compression=Compression(max_window_log=writer.WINDOW_LOG),
    )
