"""The storage subsystem: what it checks, and its steps in order. The acts are in its modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from agent.api.errors import Kind, TridentError
from agent.api.errors import context as while_doing
from agent.api.parttypes import kind_of
from agent.api.status import ServicingType
from agent.api.storage import FileSystemSource
from agent.api.units import fixed_bytes
from agent.cosi.reader import CosiImage
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import mkfs
from agent.subsystems.storage import (
    filesystems,
    fstab,
    image_match,
    images,
    inactive,
    partitions,
    safety,
)
from agent.subsystems.storage.filesystems import NewFileSystem
from agent.subsystems.storage.image_match import Match
from agent.subsystems.storage.layout import PlannedDisk
from agent.subsystems.storage.safety import Identity

_PARTITIONING_TOOLS = ("lsblk", "blkid", "sfdisk", "systemd-repart", "partx", "udevadm")
_GROWING_TOOLS = ("e2fsck", "resize2fs", "dumpe2fs")


@dataclass(frozen=True)
class _Survey:
    """A disk that was checked, and by what to know it again before it is overwritten."""

    disk: PlannedDisk
    identity: Identity


class StorageSubsystem:
    """Partitions, image contents, new file systems, swap, fstab."""

    def __init__(self) -> None:
        self._surveys: tuple[_Survey, ...] = ()

    @property
    def name(self) -> str:
        return "storage"

    def tools(self, context: Context) -> Sequence[str]:
        """Only what this configuration needs."""
        matches = _matches(context)
        made = filesystems.to_make(context.configuration.storage, matches, context.servicing)
        needed = list(_PARTITIONING_TOOLS) if _installs(context) else []
        needed += [mkfs.binary(item.type) for item in made]
        needed += _GROWING_TOOLS if any(_grows(item) for item in matches) else ()
        needed += ["mkswap"] if context.configuration.storage.swap else []
        return needed

    def validate(self, context: Context) -> None:
        """Image and configuration match, the disks exist, are unused and large enough."""
        matches = _matches(context)
        if _installs(context):
            layout = partitions.plan(context.configuration.storage)
            self._surveys = tuple(_survey(disk) for disk in layout.disks)
            image_match.check_sizes(matches, _by_configured_id(context, layout.sizes()))
        elif context.servicing is ServicingType.AB_UPDATE:
            image_match.check_sizes(matches, inactive.checked_sizes(context, matches))

    def stage(self, context: Context) -> Sequence[Step]:
        if context.servicing is ServicingType.RUNTIME_UPDATE:
            return ()
        return (
            *(_partitioning(survey) for survey in self._surveys),
            *_deployments(context),
            *_formats(context),
            Step(
                "storage/fstab",
                Phase.CONFIGURE,
                "writing /etc/fstab",
                _write_fstab,
                (Effect(Verb.WRITE, "/etc/fstab"),),
            ),
        )

    def finalize(self, _context: Context) -> Sequence[Step]:
        return ()


def _installs(context: Context) -> bool:
    return context.servicing is ServicingType.CLEAN_INSTALL


def _image(context: Context) -> CosiImage:
    if context.image is None:
        raise TridentError(Kind.INTERNAL, "internal", "storage is staged without an image")
    return context.image


def _matches(context: Context) -> tuple[Match, ...]:
    if context.image is None:
        return ()
    return image_match.match(context.configuration, context.image.metadata)


def _grows(item: Match) -> bool:
    return images.grows(item.image.fs_type, read_only=item.configured.read_only)


def _fixed_sizes(context: Context) -> dict[str, int]:
    """Sizes by the ids that file systems use, as far as the configuration fixes them."""
    sizes = {
        partition.id: size_bytes
        for disk in context.configuration.storage.disks
        for partition in disk.partitions
        if (size_bytes := fixed_bytes(partition.size)) is not None
    }
    return _by_configured_id(context, sizes)


def _by_configured_id(context: Context, sizes: dict[str, int]) -> dict[str, int]:
    """Add the A/B pairs to sizes of partitions: a pair is as large as its target side."""
    pairs = {
        pair.id: sizes[real]
        for pair in context.configuration.storage.volume_pairs
        if (real := context.block_device_id(pair.id)) in sizes
    }
    return sizes | pairs


def _survey(disk: PlannedDisk) -> _Survey:
    """Have the layout rehearsed, and remember which disk it is for. Writes nothing."""
    partitions.rehearse(disk)
    return _Survey(disk, safety.identify(disk.path))


def _partitioning(survey: _Survey) -> Step:
    disk = survey.disk
    return Step(
        f"storage/partitions/{disk.id}",
        Phase.CREATE,
        f"creating partitions on {disk.path}",
        partial(_partition, survey),
        tuple(_partition_effects(disk)),
    )


def _partition_effects(disk: PlannedDisk) -> Iterator[Effect]:
    device = disk.device
    known = ", ".join(text for text in (device.model, device.serial) if text)
    content = f"everything on disk '{disk.id}'" + (f" ({known})" if known else "")
    yield Effect(Verb.DESTROY, str(disk.path), content, device.size_bytes)
    for partition in disk.partitions:
        kind = kind_of(partition.type) or partition.type
        share = ", the rest of the disk" if partition.grows else ""
        detail = f"{kind} partition on {disk.path}{share}"
        yield Effect(Verb.CREATE, partition.id, detail, partition.size_bytes)


def _partition(survey: _Survey, context: Context) -> None:
    disk = survey.disk
    table = partitions.write_table(disk, survey.identity)
    partitions.await_nodes(disk, table)
    context.facts.disk_uuids[disk.id] = UUID(table.id)
    for partition in disk.partitions:
        context.facts.partition_paths[partition.id] = partition.path


def _deployments(context: Context) -> Iterator[Step]:
    storage = context.configuration.storage
    fixed = _fixed_sizes(context)
    for item in filesystems.image_targets(storage, _matches(context), context.servicing):
        file = item.image.image
        real = context.block_device_id(item.device_id)
        written = Verb.WRITE if _installs(context) else Verb.DESTROY
        yield Step(
            f"storage/image/{real}",
            Phase.CREATE,
            f"writing the image of {item.mount_path} to '{real}'",
            partial(_deploy, item, fixed.get(item.device_id)),
            (
                Effect(Verb.FETCH, file.path, _image(context).source.url, file.compressed_size),
                Effect(
                    written,
                    real,
                    f"{item.image.fs_type} file system of {item.mount_path}",
                    file.uncompressed_size,
                ),
            ),
        )


def _deploy(item: Match, expected_bytes: int | None, context: Context) -> None:
    images.deploy(
        _image(context),
        item.image.image,
        context.device_path(item.device_id),
        grow=_grows(item),
        expected_bytes=expected_bytes,
        progress=context.progress,
    )


def _formats(context: Context) -> Iterator[Step]:
    storage = context.configuration.storage
    made = filesystems.to_make(storage, _matches(context), context.servicing)
    destroyed = Verb.CREATE if _installs(context) else Verb.DESTROY
    for item in made:
        real = context.block_device_id(item.device_id)
        place = f" for {item.mount_path}" if item.mount_path else ""
        yield Step(
            f"storage/filesystem/{real}",
            Phase.CREATE,
            f"making a new {item.type} file system on '{real}'",
            partial(_make, item),
            (Effect(destroyed, real, f"new {item.type} file system{place}"),),
        )
    for device_id in filesystems.swap_ids(storage, context.servicing):
        yield Step(
            f"storage/swap/{device_id}",
            Phase.CREATE,
            f"making a swap area on '{device_id}'",
            partial(_make_swap, device_id),
            (Effect(Verb.CREATE, device_id, "swap area"),),
        )


def _make(item: NewFileSystem, context: Context) -> None:
    device = context.device_path(item.device_id)
    with while_doing(f"creating '{item.device_id}' on {device}"):
        mkfs.make(item.type, device)


def _make_swap(device_id: str, context: Context) -> None:
    mkfs.make_swap(context.device_path(device_id))


def _write_fstab(context: Context) -> None:
    fstab.write(tuple(_fstab_entries(context)), context.newroot)


def _fstab_entries(context: Context) -> Iterator[fstab.Entry]:
    types = {item.mount_path: str(item.image.fs_type) for item in _matches(context)}
    for filesystem in context.configuration.storage.filesystems:
        point = filesystem.mount_point
        if point is None:
            continue
        if filesystem.device_id is None:
            yield fstab.virtual(str(filesystem.effective_type), str(point.path), point.option_list)
            continue
        from_image = filesystem.source is FileSystemSource.IMAGE
        type = types.get(point.path, "auto") if from_image else str(filesystem.effective_type)
        device = context.device_path(filesystem.device_id)
        yield fstab.mount(str(device), str(point.path), type, point.option_list)
    for swap in context.configuration.storage.swap:
        yield fstab.swap(str(context.device_path(swap.device_id)))
