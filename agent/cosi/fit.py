"""Whether an image satisfies a Host Configuration: pure comparison of both, nothing is read.

The findings come in upstream's order of evaluation; `relaxedCosiValidation` turns those into
warnings without which the installation can still be carried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from agent.api.hostconfig import HostConfiguration
from agent.api.parttypes import Architecture
from agent.api.status import ServicingType
from agent.api.storage import FileSystem, FileSystemSource
from agent.api.units import ByteCount
from agent.api.yamltext import Path
from agent.check.findings import Finding, Severity
from agent.check.graph import StorageGraph
from agent.check.validate import storage_graph
from agent.cosi.metadata import CosiMetadata, FsType, Image

BOOT: Final = PurePosixPath("/boot")
USR: Final = PurePosixPath("/usr")
_RELAXABLE: Final = frozenset(
    (
        "unused-os-image-filesystem",
        "duplicate-fs-uuid",
        "duplicate-fs-uuid-ab-update",
        "duplicate-fs-uuid-acl-verification-failed",
        "verity-mismatch",
        "esp-mount-point-mismatch",
        "unexpected-verity-on-esp",
        "unsupported-boot-file-system-type",
    )
)


@dataclass(frozen=True)
class _Pair:
    """A configuration and an image that are to fit; `active_fs_uuids` by A/B pair id."""

    hc: HostConfiguration
    image: CosiMetadata
    graph: StorageGraph
    servicing: ServicingType
    active_fs_uuids: Mapping[str, str]
    active_usr_hash: str | None

    def from_image(self) -> Iterator[tuple[Path, FileSystem]]:
        """Filesystems of the configuration whose content comes from the image."""
        for index, fs in enumerate(self.hc.storage.filesystems):
            if fs.source is FileSystemSource.IMAGE:
                yield ("storage", "filesystems", index), fs

    def configured_at(self, mount_point: PurePosixPath) -> tuple[Path, FileSystem] | None:
        found = (pair for pair in self.from_image() if pair[1].mount_path == mount_point)
        return next(found, None)


def fit(
    hc: HostConfiguration,
    metadata: CosiMetadata,
    *,
    servicing: ServicingType = ServicingType.CLEAN_INSTALL,
    architecture: Architecture | None = None,
    active_fs_uuids: Mapping[str, str] | None = None,
    active_usr_hash: str | None = None,
) -> list[Finding]:
    """What keeps `metadata`'s image from satisfying `hc`.

    `architecture` is the host's (None: not checked). `active_fs_uuids` has, for an A/B update, the
    filesystem UUID on the active side of each A/B pair, by the pair's id; `active_usr_hash` the
    verity root hash of /usr that the running kernel was given, when it was given one.
    """
    pair = _Pair(hc, metadata, storage_graph(hc), servicing, active_fs_uuids or {}, active_usr_hash)
    found = [*_architecture(metadata, architecture)]
    for check in (_unused, _missing, _uuids, _verity, _esp, _boot, _sizes):
        found += check(pair)
    if hc.internal_params.relaxed_cosi_validation:
        return [_relax(finding) for finding in found]
    return found


def _finding(code: str, message: str, steps: Path, hint: str | None = None) -> Finding:
    return Finding(code, message, steps, hint, error_code=code)


def _relax(finding: Finding) -> Finding:
    if finding.code in _RELAXABLE:
        return replace(finding, severity=Severity.WARNING)
    return finding


def _architecture(image: CosiMetadata, host: Architecture | None) -> Iterator[Finding]:
    if host is not None and image.os_arch is not host:
        yield _finding(
            "mismatched-architecture",
            f"the image is for {image.os_arch}, this machine is {host}",
            ("image", "url"),
            "name an image for this machine's architecture",
        )


def _unused(pair: _Pair) -> Iterator[Finding]:
    allowed = pair.hc.internal_params.allow_unused_filesystems
    for image in pair.image.images:
        if pair.configured_at(image.mount_point) is None:
            finding = _finding(
                "unused-os-image-filesystem",
                f"the image's filesystem '{image.mount_point}' is not used",
                ("storage", "filesystems"),
                f"add a filesystem with 'mountPoint: {image.mount_point}' and no source",
            )
            yield replace(finding, severity=Severity.WARNING) if allowed else finding


def _missing(pair: _Pair) -> Iterator[Finding]:
    provided = {image.mount_point for image in pair.image.images}
    for path, fs in pair.from_image():
        if fs.mount_path is None:
            yield _finding(
                "missing-os-image-filesystem",
                f"the filesystem on '{fs.device_id}' has no mountPoint, by which the image's"
                " filesystems are found",
                path,
                "give it a mountPoint, or 'source: new'",
            )
        elif _is_written(pair, fs) and fs.mount_path not in provided:
            yield _finding(
                "missing-os-image-filesystem",
                f"the image has no filesystem for '{fs.mount_path}'",
                (*path, "mountPoint"),
                "use an image that has one, or set 'source: new'",
            )


def _is_written(pair: _Pair, fs: FileSystem) -> bool:
    """An A/B update writes only what has two sides, and the ESP."""
    if fs.is_esp or pair.servicing is not ServicingType.AB_UPDATE:
        return True
    return fs.device_id is not None and pair.graph.has_ab(fs.device_id)


def _uuids(pair: _Pair) -> Iterator[Finding]:
    first: dict[str, Image] = {}
    for image in pair.image.filesystems:
        other = first.setdefault(image.fs_uuid, image)
        if other is not image:
            yield _finding(
                "duplicate-fs-uuid",
                f"the image's filesystems '{other.mount_point}' and '{image.mount_point}' have the"
                f" same UUID {image.fs_uuid}",
                ("image", "url"),
                "rebuild the image with a UUID for each filesystem",
            )
    if pair.servicing is ServicingType.AB_UPDATE:
        yield from _uuids_of_sides(pair)


def _uuids_of_sides(pair: _Pair) -> Iterator[Finding]:
    by_mount_point = {image.mount_point: image for image in pair.image.filesystems}
    for path, fs in pair.from_image():
        image = by_mount_point.get(fs.mount_path) if fs.mount_path else None
        if image is None or fs.device_id is None:
            continue
        verity = pair.hc.storage.verity_device(fs.device_id)
        device_id = verity.data_device_id if verity else fs.device_id
        if pair.active_fs_uuids.get(device_id, "").lower() != image.fs_uuid.lower():
            continue
        if pair.image.is_acl:
            yield from _same_content(pair, path, image)
        else:
            yield _finding(
                "duplicate-fs-uuid-ab-update",
                f"the image's filesystem '{image.mount_point}' has the UUID {image.fs_uuid} of the"
                " active one, which it would be mistaken for",
                (*path, "deviceId"),
                "make one with other UUIDs: trident-iso cosi randomize-uuids FILE -o OUT",
            )


def _same_content(pair: _Pair, path: Path, image: Image) -> Iterator[Finding]:
    """Azure Container Linux may have one UUID on both sides of /usr: that of the same content.

    Equal verity root hashes prove that it is.
    """
    staged = image.verity.roothash.strip().lower() if image.verity else ""
    active = (pair.active_usr_hash or "").strip().lower()
    if image.mount_point != USR:
        why = "only /usr may have the same UUID on both sides"
    elif not staged:
        why = "the image has no verity root hash for it"
    elif not active:
        why = "the running kernel's command line has no usrhash="
    elif staged != active:
        why = f"the verity root hashes differ: {staged[:16]}... and, active, {active[:16]}..."
    else:
        return
    yield _finding(
        "duplicate-fs-uuid-acl-verification-failed",
        f"the image's filesystem '{image.mount_point}' has the UUID {image.fs_uuid} of the active"
        f" one, and that both hold the same is not proven: {why}",
        (*path, "deviceId"),
        "make one with other UUIDs: trident-iso cosi randomize-uuids FILE -o OUT",
    )


def _verity(pair: _Pair) -> Iterator[Finding]:
    provided = {image.mount_point for image in pair.image.filesystems if image.verity}
    configured = {
        fs.mount_path
        for node, fs in pair.graph.filesystems()
        if fs.mount_path and pair.graph.verity_beneath(node)
    }
    if provided != configured:
        yield _finding(
            "verity-mismatch",
            f"the configuration wants verity for {_list(configured)}, the image has it for"
            f" {_list(provided)}",
            ("storage", "verity"),
        )


def _list(paths: set[PurePosixPath]) -> str:
    return ", ".join(sorted(map(str, paths))) or "nothing"


def _esp(pair: _Pair) -> Iterator[Finding]:
    image = pair.image.esp
    if image is None:
        return
    esp = next(((path, fs) for path, fs in pair.from_image() if fs.is_esp), None)
    if esp is not None and esp[1].mount_path != image.mount_point:
        yield _finding(
            "esp-mount-point-mismatch",
            f"the ESP is at '{image.mount_point}' in the image and at '{esp[1].mount_path}' in the"
            " configuration",
            (*esp[0], "mountPoint"),
            "mount it where the image does",
        )
    if image.verity is not None:
        yield _finding(
            "unexpected-verity-on-esp", "the image's ESP has verity data", ("image", "url")
        )


def _boot(pair: _Pair) -> Iterator[Finding]:
    holders = [fs for fs in pair.image.filesystems if BOOT.is_relative_to(fs.mount_point)]
    boot = max(holders, key=lambda fs: len(fs.mount_point.parts), default=None)
    if boot is None:
        yield _finding(
            "unsupported-boot-file-system-type",
            f"no filesystem of the image holds '{BOOT}'",
            ("image", "url"),
        )
    elif boot.fs_type is not FsType.EXT4:
        yield _finding(
            "unsupported-boot-file-system-type",
            f"the image's filesystem '{boot.mount_point}', which holds '{BOOT}', is {boot.fs_type}:"
            " it must be ext4",
            ("image", "url"),
        )


def _sizes(pair: _Pair) -> Iterator[Finding]:
    if pair.hc.internal_params.disable_fs_block_device_size_check:
        return
    for image in pair.image.filesystems:
        found = pair.configured_at(image.mount_point)
        if found is None or found[1].device_id is None:
            continue
        path, device_id = found[0], found[1].device_id
        needed = image.image.uncompressed_size
        yield from _size(pair, path, image.mount_point, device_id, needed)
        device = pair.hc.storage.verity_device(device_id)
        if image.verity is not None and device is not None:
            needed = image.verity.image.uncompressed_size
            yield from _size(pair, path, image.mount_point, device.hash_device_id, needed)


def _size(
    pair: _Pair, path: Path, mount_point: PurePosixPath, device_id: str, needed_bytes: int
) -> Iterator[Finding]:
    room_bytes = pair.graph.size_bytes(device_id)
    if room_bytes is not None and needed_bytes > room_bytes:
        yield _finding(
            "filesystem-size-exceeds-block-device",
            f"the image's data for '{mount_point}' ({ByteCount(needed_bytes)}) does not fit on"
            f" '{device_id}' ({ByteCount(room_bytes)})",
            (*path, "deviceId"),
            "make the partition larger",
        )
