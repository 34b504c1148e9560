"""What one servicing run knows: the configuration, the image, the facts, devices.

A Context is a value handed down to every step. Only `facts` changes while a run goes on: what
execution learns (partition paths, disk identities, the install index) and the Host Status keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import UUID

from agent.api.errors import Kind, TridentError
from agent.api.extensions import ExtensionKind
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingType

if TYPE_CHECKING:
    from agent.cosi.reader import CosiImage

NEWROOT = Path("/mnt/newroot")

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all); cheap, may be called from any thread."""


@dataclass
class Facts:
    """What execution learns about the host. The Host Status keeps it between runs."""

    partition_paths: dict[str, Path] = field(default_factory=dict)
    """Partition id -> `/dev/disk/by-partuuid/UUID`, once the partition exists."""
    disk_uuids: dict[str, UUID] = field(default_factory=dict)
    """Disk id -> GPT disk GUID."""
    install_index: int = 0
    """Which EFI directory pair is ours: 0 = AZLA/AZLB, 1 = AZL2A/AZL2B ..."""
    extension_paths: dict[tuple[ExtensionKind, str], PurePosixPath] = field(default_factory=dict)
    """Kind and SHA-384 of an extension image -> where it is in the target. Kept in the spec."""


def no_progress(done_bytes: int, total_bytes: int) -> None:
    """A Progress nobody listens to."""


@dataclass(frozen=True)
class Context:
    """The inputs of one servicing run."""

    configuration: HostConfiguration
    servicing: ServicingType
    old_status: HostStatus = field(default_factory=HostStatus)
    """The last Host Status of the datastore; the default one when there is none yet."""
    image: CosiImage | None = None
    """The opened OS image; None when the run writes none (finalize on its own, commit)."""
    newroot: Path = NEWROOT
    """Where the target is; `/` at run time."""
    facts: Facts = field(default_factory=Facts)
    progress: Progress = no_progress
    """Progress of the current step; `execute` sets it for each step."""

    @property
    def target_volume(self) -> AbVolume:
        """The side of every A/B pair that this run writes."""
        active = self.old_status.ab_active_volume
        if self.servicing is ServicingType.CLEAN_INSTALL or active is None:
            return AbVolume.A
        if self.servicing in (ServicingType.AB_UPDATE, ServicingType.MANUAL_ROLLBACK_AB):
            return active.other
        return active

    def block_device_id(self, device_id: str) -> str:
        """The id of the real device behind `device_id`: resolves A/B pairs, leaves others alone."""
        for pair in self.configuration.storage.volume_pairs:
            if pair.id == device_id:
                side_a = self.target_volume is AbVolume.A
                return pair.volume_a_id if side_a else pair.volume_b_id
        return device_id

    def device_path(self, device_id: str) -> Path:
        """The device node of an id of the storage section; A/B pairs give the target side.

        Raises internal/get-block-device-path when the partition was not created yet or the id is
        none of the configuration's.
        """
        real = self.block_device_id(device_id)
        storage = self.configuration.storage
        named = {array.id: array.device_path for array in storage.raid.software}
        named |= {volume.id: volume.device_path for volume in storage.encrypted_volumes}
        named |= {verity.id: verity.staging_device_path for verity in storage.verity}
        path = self.facts.partition_paths.get(real) or named.get(real)
        if path is None:
            raise TridentError(
                Kind.INTERNAL,
                "get-block-device-path",
                f"the block device of '{device_id}' is not known at this point",
                fields={"device_id": device_id},
            )
        return Path(path)
