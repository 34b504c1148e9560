"""The rules of the storage graph as tables: who may stand on what, and what must be equal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from agent.api.parttypes import ACL_USR, PartitionKind, PartitionType, kind_of
from agent.api.storage import RaidLevel
from agent.check.graph import NodeKind, Role

MANY: Final = 1 << 32


@dataclass(frozen=True)
class Types:
    """A set of partition types: those listed, or (`listed_are_allowed` False) all others."""

    listed: frozenset[PartitionType]
    listed_are_allowed: bool = True

    def __contains__(self, partition_type: PartitionType) -> bool:
        return (partition_type in self.listed) is self.listed_are_allowed

    def __str__(self) -> str:
        names = ", ".join(sorted(map(str, self.listed)))
        return names if self.listed_are_allowed else f"any but {names}"


def _only(*types: PartitionType) -> Types:
    return Types(frozenset(types))


def _but(*types: PartitionType) -> Types:
    return Types(frozenset(types), listed_are_allowed=False)


ANY: Final = _but()


@dataclass(frozen=True)
class Rule:
    """What holds for a kind of node and the devices it stands on."""

    targets: tuple[int, int] = (0, 0)
    kinds: frozenset[NodeKind] = frozenset()
    same_kind: bool = False
    same_fixed_size: bool = False
    same_type: bool = False
    types: Types = ANY
    raid_levels: frozenset[RaidLevel] = frozenset(RaidLevel)


_P: Final = NodeKind.PARTITION
_RAID: Final = NodeKind.RAID_ARRAY
_LUKS: Final = NodeKind.ENCRYPTED_VOLUME
_AB: Final = NodeKind.AB_VOLUME
_ADOPTED: Final = NodeKind.ADOPTED_PARTITION
_VERITY_DATA: Final = _only(
    PartitionKind.ROOT, PartitionKind.USR, PartitionKind.LINUX_GENERIC, ACL_USR
)

RULES: Final[dict[NodeKind, Rule]] = {
    NodeKind.DISK: Rule(),
    NodeKind.PARTITION: Rule(),
    NodeKind.ADOPTED_PARTITION: Rule(),
    NodeKind.FILESYSTEM_VIRTUAL: Rule(),
    NodeKind.RAID_ARRAY: Rule(
        targets=(2, MANY),
        kinds=frozenset((_P,)),
        same_kind=True,
        same_fixed_size=True,
        same_type=True,
    ),
    NodeKind.AB_VOLUME: Rule(
        targets=(2, 2),
        kinds=frozenset((_P, _RAID, _LUKS)),
        same_kind=True,
        same_fixed_size=True,
        same_type=True,
    ),
    NodeKind.ENCRYPTED_VOLUME: Rule(
        targets=(1, 1),
        kinds=frozenset((_P, _RAID)),
        same_kind=True,
        same_type=True,
        # systemd's GPT generator mishandles an encrypted home partition.
        types=_but(
            PartitionKind.ESP,
            PartitionKind.ROOT,
            PartitionKind.ROOT_VERITY,
            PartitionKind.USR_VERITY,
            PartitionKind.HOME,
        ),
    ),
    NodeKind.VERITY_DEVICE: Rule(targets=(2, 2), kinds=frozenset((_P, _RAID, _AB)), same_kind=True),
    NodeKind.SWAP: Rule(
        targets=(1, 1),
        kinds=frozenset((_P, _LUKS)),
        same_kind=True,
        same_type=True,
        types=_only(PartitionKind.SWAP),
    ),
    NodeKind.FILESYSTEM_NEW: Rule(
        targets=(1, 1),
        kinds=frozenset((_P, _RAID, _LUKS, _AB)),
        same_type=True,
        types=_but(PartitionKind.ESP),
    ),
    NodeKind.FILESYSTEM_IMAGE: Rule(
        targets=(1, 1),
        kinds=frozenset((_P, _RAID, _LUKS, _AB, NodeKind.VERITY_DEVICE)),
        same_type=True,
    ),
    NodeKind.FILESYSTEM_ESP: Rule(
        targets=(1, 1),
        kinds=frozenset((_P, _ADOPTED, _RAID)),
        same_type=True,
        types=_only(PartitionKind.ESP),
        raid_levels=frozenset((RaidLevel.RAID1,)),
    ),
    NodeKind.FILESYSTEM_ADOPTED: Rule(
        targets=(1, 1),
        kinds=frozenset((_ADOPTED,)),
        same_type=True,
        types=_but(PartitionKind.ESP),
    ),
}

PERMITTED: Final = {kind: rule.kinds for kind, rule in RULES.items()}

ROLE_TYPES: Final = {
    Role.VERITY_DATA: _VERITY_DATA,
    Role.VERITY_HASH: _only(
        PartitionKind.ROOT_VERITY, PartitionKind.USR_VERITY, PartitionKind.LINUX_GENERIC
    ),
}
"""Partition types beneath a verity device's two targets; each side's must also be equal."""

HASH_TYPE: Final[dict[PartitionType, PartitionKind]] = {
    PartitionKind.ROOT: PartitionKind.ROOT_VERITY,
    PartitionKind.USR: PartitionKind.USR_VERITY,
    ACL_USR: PartitionKind.USR_VERITY,
}
"""The hash partition's type that belongs to a data partition's; others take any."""

UNIQUE: Final = {
    NodeKind.DISK: ("device",),
    NodeKind.PARTITION: ("uuid",),
    NodeKind.ADOPTED_PARTITION: ("match_label", "match_uuid"),
    NodeKind.RAID_ARRAY: ("name",),
    NodeKind.ENCRYPTED_VOLUME: ("device_name",),
    NodeKind.VERITY_DEVICE: ("name",),
}
"""Fields that no two nodes of a kind may share."""

USUAL_MOUNT_POINTS: Final[dict[PartitionType, tuple[PurePosixPath, ...]]] = {
    kind: tuple(PurePosixPath(path) for path in paths)
    for kind, paths in {
        PartitionKind.ESP: ("/boot", "/efi", "/boot/efi"),
        PartitionKind.HOME: ("/home",),
        PartitionKind.ROOT: ("/",),
        PartitionKind.ROOT_VERITY: (),
        PartitionKind.SRV: ("/srv",),
        PartitionKind.SWAP: (),
        PartitionKind.TMP: ("/var/tmp",),
        PartitionKind.USR: ("/usr",),
        PartitionKind.USR_VERITY: (),
        PartitionKind.VAR: ("/var",),
        PartitionKind.XBOOTLDR: ("/boot",),
    }.items()
}
"""Where partitions of a type are usually mounted; other types have no usual place."""


def named(partition_type: PartitionType) -> PartitionType:
    """The type by its name if it has one: a GUID of a known type counts as that type."""
    if isinstance(partition_type, UUID):
        return kind_of(partition_type) or partition_type
    return partition_type
