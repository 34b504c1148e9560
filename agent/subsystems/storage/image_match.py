"""Whether an OS image and the Host Configuration belong together, file system by file system.

Pure. One fact each; the first that does not hold is raised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.storage import FileSystem, FileSystemSource
from agent.cosi.metadata import CosiMetadata, Image

_BOOT = PurePosixPath("/boot")
_BOOT_TYPES = ("ext4",)


@dataclass(frozen=True)
class Match:
    """A file system of the configuration and the one of the image that goes there."""

    configured: FileSystem
    image: Image

    @property
    def device_id(self) -> str:
        """Id of the block device (or A/B pair) in the configuration."""
        if self.configured.device_id is None:
            raise _mismatch(
                "internal-error", f"the file system at {self.mount_path} has no deviceId", ""
            )
        return self.configured.device_id

    @property
    def mount_path(self) -> PurePosixPath:
        return self.image.mount_point


def match(configuration: HostConfiguration, metadata: CosiMetadata) -> tuple[Match, ...]:
    """Every file system from the image, the ESP included, in the configuration's order.

    Raises missing-os-image-filesystem, unused-os-image-filesystem, duplicate-fs-uuid,
    esp-mount-point-mismatch, unsupported-boot-file-system-type.
    """
    by_mount = {image.mount_point: image for image in metadata.images}
    matches = []
    for configured in configuration.storage.filesystems:
        if configured.source is not FileSystemSource.IMAGE or configured.mount_path is None:
            continue
        image = by_mount.get(configured.mount_path)
        if image is None:
            raise _missing(configured, metadata)
        matches.append(Match(configured, image))
    _check_unused(configuration, metadata, matches)
    _check_unique_uuids(matches)
    _check_esp(matches)
    _check_boot(matches)
    return tuple(matches)


def holding(matches: Sequence[Match], path: PurePosixPath) -> Match:
    """The match whose file system holds `path` in the target.

    Raises missing-os-image-filesystem when none does.
    """
    above = [item for item in matches if path.is_relative_to(item.mount_path)]
    if not above:
        raise _mismatch(
            "missing-os-image-filesystem",
            f"no file system of the image holds {path}",
            "the Host Configuration must mount a file system of the image at /",
        )
    return max(above, key=lambda item: len(item.mount_path.parts))


def check_sizes(matches: Sequence[Match], size_bytes: Mapping[str, int]) -> None:
    """Raise filesystem-size-exceeds-block-device unless every image fits its device.

    `size_bytes` by the ids of `Match.device_id`; ids it lacks are not checked. ESPs are copied
    file by file and not looked at here.
    """
    for item in matches:
        available = size_bytes.get(item.device_id)
        needed = item.image.image.uncompressed_size
        if item.configured.is_esp or available is None or needed <= available:
            continue
        raise _mismatch(
            "filesystem-size-exceeds-block-device",
            f"the image's file system for {item.mount_path} has {needed} bytes, "
            f"its device '{item.device_id}' only {available}",
            "enlarge the partition in storage.disks[].partitions[].size, or use a smaller image",
        )


def _check_unused(
    configuration: HostConfiguration, metadata: CosiMetadata, matches: Sequence[Match]
) -> None:
    if configuration.internal_params.allow_unused_filesystems:
        return
    used = {item.mount_path for item in matches}
    unused = [str(image.mount_point) for image in metadata.images if image.mount_point not in used]
    if unused:
        raise _mismatch(
            "unused-os-image-filesystem",
            f"the image has file systems that the Host Configuration does not use: "
            f"{', '.join(unused)}",
            "add them to storage.filesystems, or set internalParams.allowUnusedFilesystems",
        )


def _check_unique_uuids(matches: Sequence[Match]) -> None:
    counts = Counter(item.image.fs_uuid.lower() for item in matches)
    for uuid, count in counts.items():
        if count > 1:
            raise _mismatch(
                "duplicate-fs-uuid",
                f"{count} file systems of the image have the UUID {uuid}",
                "every file system of an image needs a UUID of its own: rebuild the image",
            )


def _check_esp(matches: Sequence[Match]) -> None:
    for item in matches:
        if item.configured.is_esp != item.image.is_esp:
            raise _mismatch(
                "esp-mount-point-mismatch",
                f"the file system at {item.mount_path} is the EFI system partition in only one of "
                "image and Host Configuration",
                "mount the image's EFI system partition where the image has it",
            )


def _check_boot(matches: Sequence[Match]) -> None:
    boot = holding(matches, _BOOT)
    if boot.image.fs_type not in _BOOT_TYPES:
        raise _mismatch(
            "unsupported-boot-file-system-type",
            f"the file system that holds {_BOOT} is {boot.image.fs_type}; it must be "
            f"{' or '.join(_BOOT_TYPES)}",
            "rebuild the image with an ext4 file system there",
        )


def _missing(configured: FileSystem, metadata: CosiMetadata) -> TridentError:
    present = ", ".join(str(image.mount_point) for image in metadata.images)
    return _mismatch(
        "missing-os-image-filesystem",
        f"the image has no file system for {configured.mount_path}; it has {present}",
        "correct storage.filesystems (source 'new' makes an empty one), or use another image",
    )


def _mismatch(code: str, message: str, hint: str) -> TridentError:
    return TridentError(Kind.INVALID_INPUT, code, message, hint=hint)
