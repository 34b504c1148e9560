"""A COSI file with other file system UUIDs: an A/B update needs other ones than the active.

Partition GUIDs stay as they are. What names the file systems follows: see `references`.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from agent.api.errors import Kind, TridentError, context
from agent.cosi import metadata as cosi_metadata
from agent.cosi import writer
from agent.cosi.metadata import (
    V1_2,
    Bootloader,
    CosiMetadata,
    Disk,
    FsType,
    Image,
    ImageFile,
)
from agent.cosi.reader import CosiImage, image_files
from agent.cosi.stream import check_image, extract_image
from agent.linux import e2fs, fat, xfs
from iso_builder.cosi import references
from iso_builder.cosi.build import Packing, assemble, compress, flat_name, identifier
from iso_builder.cosi.filesystems import reader
from iso_builder.cosi.progress import Meter, Silence
from iso_builder.cosi.references import Renaming

_NAMESPACE = UUID("0d9a7a42-5b0f-5b6c-8f57-2a7e3f1d9c64")
_COPY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Options:
    """The same `seed` gives the same UUIDs; None: random ones. `level` is zstd's."""

    seed: str | None = None
    level: int = 9
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What was done. `remaining` counts mentions of old identifiers that were left, by image."""

    metadata_sha384: str
    new_of: Mapping[str, str]
    changed: tuple[str, ...]
    remaining: Mapping[str, int]


def randomize(
    image: CosiImage, output: Path, options: Options, meter: Meter | None = None
) -> Outcome:
    """Write `output`, the same OS with new file system UUIDs. It appears only when complete.

    Needs room beside it for all file systems, decompressed.
    Raises uuid-unchangeable, signed-boot-file, corrupt-os-image, load-cosi, command-failed.
    """
    meter = meter or Silence()
    metadata = image.metadata
    _check(metadata)
    new_of = {entry.fs_uuid: _new(entry, options.seed) for entry in metadata.images}
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        context(f"giving {image.source.url} new UUIDs"),
        tempfile.TemporaryDirectory(prefix=".trident-cosi-", dir=output.parent) as folder,
    ):
        workspace = Path(folder)
        raw = {
            entry.image.path: _extract(image, entry, workspace, meter) for entry in metadata.images
        }
        changed, remaining = _alter(metadata.images, raw, new_of, meter)
        packing = _packing(metadata, options)
        packed = [
            _repack(file, raw[file.path], workspace, packing, meter)
            if file.path in raw
            else _keep(image, file, workspace, meter)
            for file in _in_order(image)
        ]
        document = cosi_metadata.dump(_described(metadata, [file for file, _ in packed], new_of))
        return Outcome(assemble(output, document, packed), new_of, changed, remaining)


def _check(metadata: CosiMetadata) -> None:
    if metadata.version > V1_2:
        raise _unchangeable(
            f"COSI {metadata.version} is newer than this command knows", "use a newer version of it"
        )
    for entry in metadata.images:
        if entry.verity is not None:
            raise _unchangeable(
                f"the file system of {entry.mount_point} is sealed by dm-verity: "
                "another UUID would break its root hash",
                "build the image anew with other UUIDs and seal it again",
            )
        if not entry.fs_type.is_ext and entry.fs_type not in (FsType.XFS, FsType.VFAT):
            raise _unchangeable(
                f"the UUID of the {entry.fs_type} file system of {entry.mount_point} "
                "cannot be changed",
                "UUIDs of ext2, ext3, ext4, xfs and vfat can be changed; "
                "build the image anew with another UUID",
            )


def _new(entry: Image, seed: str | None) -> str:
    """Another identifier of the same form."""
    fresh = uuid4() if seed is None else uuid5(_NAMESPACE, f"{seed}/{entry.fs_uuid}")
    if entry.fs_type is not FsType.VFAT:
        return str(fresh)
    digits = secrets.token_hex(4) if seed is None else fresh.hex[:8]
    return f"{digits[:4]}-{digits[4:]}".upper()


def _extract(image: CosiImage, entry: Image, workspace: Path, meter: Meter) -> Path:
    target = workspace / f"{flat_name(entry.image.path)}.raw"
    with meter.step("extracting", entry.image.path) as progress:
        extract_image(image, entry.image, target, progress=progress)
    return target


def _alter(
    images: Sequence[Image], raw: Mapping[str, Path], new_of: Mapping[str, str], meter: Meter
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """Change the identifiers and what names them; the files changed, and what is left."""
    renaming = Renaming(new_of)
    changed: list[str] = []
    remaining: dict[str, int] = {}
    for entry in images:
        place = raw[entry.image.path]
        meter.note(f"{entry.mount_point}: {entry.fs_uuid} becomes {new_of[entry.fs_uuid]}")
        with context(f"changing the file system of {entry.mount_point}"):
            files = reader(place, str(entry.fs_type))
            if files is not None:
                root = str(entry.mount_point).rstrip("/")
                changed += [f"{root}{path}" for path in references.follow(files, renaming)]
            _set_identifier(entry.fs_type, place, new_of[entry.fs_uuid])
        if left := renaming.count(place):
            remaining[entry.image.path] = left
    return tuple(changed), remaining


def _set_identifier(fs_type: FsType, place: Path, identifier: str) -> None:
    if fs_type is FsType.VFAT:
        fat.set_volume_id(place, identifier)
    elif fs_type is FsType.XFS:
        xfs.set_uuid(place, identifier)
    else:
        e2fs.set_uuid(place, identifier)


def _in_order(image: CosiImage) -> list[ImageFile]:
    """The images in the order of the archive."""
    files = {file.path: file for file in image_files(image.metadata)}
    return [files[path] for path in image.members if path in files]


def _repack(
    file: ImageFile, place: Path, workspace: Path, packing: Packing, meter: Meter
) -> tuple[ImageFile, Path]:
    region = writer.Region(place, 0, file.uncompressed_size)
    packed, target = compress(file.path, region, workspace, packing, meter)
    place.unlink()
    return packed, target


def _keep(
    image: CosiImage, file: ImageFile, workspace: Path, meter: Meter
) -> tuple[ImageFile, Path]:
    """An image that does not change: its compressed bytes as they are, checked."""
    target = workspace / flat_name(file.path)
    with meter.step("checking", file.path) as progress:
        check_image(image, file, progress=progress)
    member = image.member(file.path)
    with image.source.open_range(member.offset, member.size) as source, target.open("wb") as out:
        buffer = memoryview(bytearray(_COPY_BYTES))
        while count := source.readinto(buffer):
            out.write(buffer[:count])
    return file, target


def _packing(metadata: CosiMetadata, options: Options) -> Packing:
    """The window that readers of the file were told of stays."""
    log = metadata.compression.max_window_log if metadata.compression else writer.WINDOW_LOG
    return Packing(options.level, max(log, writer.MIN_WINDOW_LOG), options.threads)


def _described(
    metadata: CosiMetadata, files: Sequence[ImageFile], new_of: Mapping[str, str]
) -> CosiMetadata:
    new = {file.path: file for file in files}
    return metadata.model_copy(
        update={
            "images": tuple(
                entry.model_copy(
                    update={"image": new[entry.image.path], "fs_uuid": new_of[entry.fs_uuid]}
                )
                for entry in metadata.images
            ),
            "id": identifier(files),
            "bootloader": _bootloader(metadata.bootloader, Renaming(new_of)),
            "disk": _disk(metadata.disk, new),
        }
    )


def _bootloader(bootloader: Bootloader | None, renaming: Renaming) -> Bootloader | None:
    if bootloader is None or bootloader.systemd_boot is None:
        return bootloader
    entries = tuple(
        entry.model_copy(update={"cmdline": renaming.text(entry.cmdline)})
        for entry in bootloader.systemd_boot.entries
    )
    return bootloader.model_copy(
        update={"systemd_boot": bootloader.systemd_boot.model_copy(update={"entries": entries})}
    )


def _disk(disk: Disk | None, new: Mapping[str, ImageFile]) -> Disk | None:
    if disk is None:
        return None
    regions = tuple(
        region.model_copy(update={"image": new[region.image.path]}) for region in disk.gpt_regions
    )
    return disk.model_copy(update={"gpt_regions": regions})


def _unchangeable(what: str, hint: str) -> TridentError:
    return TridentError(Kind.UNSUPPORTED_CONFIGURATION, "uuid-unchangeable", what, hint=hint)
