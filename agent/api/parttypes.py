"""Partition types: names of the Host Configuration and GUIDs of the Discoverable Partitions Spec.

`root`, `usr` and their verity types have one GUID for each CPU architecture.
Source: UAPI.2, https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from uuid import UUID


class Architecture(StrEnum):
    """CPU architectures the agent knows, by the kernel's names (`uname -m`)."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class PartitionKind(StrEnum):
    """Partition types with a name."""

    ESP = "esp"
    ROOT = "root"
    SWAP = "swap"
    ROOT_VERITY = "root-verity"
    HOME = "home"
    VAR = "var"
    USR = "usr"
    USR_VERITY = "usr-verity"
    TMP = "tmp"
    LINUX_GENERIC = "linux-generic"
    SRV = "srv"
    XBOOTLDR = "xbootldr"


PartitionType = PartitionKind | UUID
"""What a configuration may state: a name, or any GUID."""

_ONE_GUID: Final = {
    PartitionKind.ESP: UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    PartitionKind.SWAP: UUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"),
    PartitionKind.HOME: UUID("933ac7e1-2eb4-4f13-b844-0e14e2aef915"),
    PartitionKind.VAR: UUID("4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
    PartitionKind.TMP: UUID("7ec6f557-3bc5-4aca-b293-16ef5df639d1"),
    PartitionKind.LINUX_GENERIC: UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"),
    PartitionKind.SRV: UUID("3b8f8425-20e0-4f3b-907f-1a25a76f98e8"),
    PartitionKind.XBOOTLDR: UUID("bc13c2ff-59e6-4262-a352-b275fd6f7172"),
}
_BY_ARCHITECTURE: Final = {
    Architecture.X86_64: {
        PartitionKind.ROOT: UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
        PartitionKind.ROOT_VERITY: UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
        PartitionKind.USR: UUID("8484680c-9521-48c6-9c11-b0720656f69e"),
        PartitionKind.USR_VERITY: UUID("77ff5f63-e7b6-4633-acf4-1565b864c0e6"),
    },
    Architecture.AARCH64: {
        PartitionKind.ROOT: UUID("b921b045-1df0-41c3-af44-4c6f280d3fae"),
        PartitionKind.ROOT_VERITY: UUID("df3300ce-d69f-4c92-978c-9bfb0f38d820"),
        PartitionKind.USR: UUID("b0e01050-ee5f-4390-949a-9101b17104e9"),
        PartitionKind.USR_VERITY: UUID("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"),
    },
}
_KIND_OF: Final = {
    guid: kind for table in (_ONE_GUID, *_BY_ARCHITECTURE.values()) for kind, guid in table.items()
}

ACL_USR: Final = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
"""The type that Azure Container Linux gives its /usr partitions."""


def guid(partition_type: PartitionType, architecture: Architecture) -> UUID:
    """The GUID to write into the partition table of a machine of `architecture`."""
    if isinstance(partition_type, UUID):
        return partition_type
    return _ONE_GUID.get(partition_type) or _BY_ARCHITECTURE[architecture][partition_type]


def kind_of(type_guid: UUID) -> PartitionKind | None:
    """The name of a GUID, whatever the architecture; None when it has none."""
    return _KIND_OF.get(type_guid)
