"""Which file system of the image goes where. Pure.

Whether image and configuration fit at all is `agent.cosi.fit`'s; here only sizes are checked again,
because those of growing partitions are known on the host alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.storage import FileSystem, FileSystemSource
from agent.cosi.metadata import CosiMetadata, Image


@dataclass(frozen=True)
class Match:
    """A file system of the configuration and the one of the image that goes there."""

    configured: FileSystem
    image: Image
    device_id: str
    """Id of the block device (or A/B pair) in the configuration."""

    @property
    def mount_path(self) -> PurePosixPath:
        return self.image.mount_point


def match(configuration: HostConfiguration, metadata: CosiMetadata) -> tuple[Match, ...]:
    """Every file system from the image, the ESP included, in the configuration's order."""
    by_mount = {image.mount_point: image for image in metadata.images}
    return tuple(
        Match(configured, by_mount[configured.mount_path], configured.device_id)
        for configured in configuration.storage.filesystems
        if configured.source is FileSystemSource.IMAGE
        and configured.mount_path in by_mount
        and configured.device_id is not None
    )


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
        raise TridentError(
            Kind.INVALID_INPUT,
            "filesystem-size-exceeds-block-device",
            f"the image's file system for {item.mount_path} has {needed} bytes, "
            f"its device '{item.device_id}' only {available}",
            hint="enlarge the partition in storage.disks[].partitions[].size, use a larger disk, "
            "or a smaller image",
            fields={"deviceId": item.device_id},
        )
