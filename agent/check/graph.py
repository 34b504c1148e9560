"""The storage section as a graph: devices, filesystems and swap, and what stands on what.

Edges lead from a referrer to the devices it stands on. Only references that resolve to a device of
a permitted kind become edges, so there are no cycles whatever the document says; and each device
belongs to one referrer, so the graph is a forest and walking it takes linear time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from agent.api.storage import (
    AbVolumePair,
    AdoptedPartition,
    Disk,
    EncryptedVolume,
    FileSystem,
    FileSystemSource,
    Partition,
    RaidLevel,
    SoftwareRaidArray,
    Storage,
    Swap,
    VerityDevice,
)
from agent.api.units import fixed_bytes
from agent.api.yamltext import Path

LUKS_HEADER_BYTES: Final = 16 << 20


class NodeKind(StrEnum):
    """Kinds of nodes, in the words of messages."""

    DISK = "disk"
    PARTITION = "partition"
    ADOPTED_PARTITION = "adopted partition"
    RAID_ARRAY = "RAID array"
    AB_VOLUME = "A/B volume pair"
    ENCRYPTED_VOLUME = "encrypted volume"
    VERITY_DEVICE = "verity device"
    FILESYSTEM_NEW = "new filesystem"
    FILESYSTEM_IMAGE = "image filesystem"
    FILESYSTEM_ESP = "ESP filesystem"
    FILESYSTEM_ADOPTED = "adopted filesystem"
    FILESYSTEM_VIRTUAL = "filesystem without a device"
    SWAP = "swap"


class Role(StrEnum):
    """What a target is for its referrer."""

    MEMBER = "member"
    VERITY_DATA = "data device"
    VERITY_HASH = "hash device"


Definition = (
    Disk
    | Partition
    | AdoptedPartition
    | SoftwareRaidArray
    | AbVolumePair
    | EncryptedVolume
    | VerityDevice
    | FileSystem
    | Swap
)


@dataclass(frozen=True)
class Target:
    """A reference to a device by id; `path` is where the document makes it."""

    device_id: str
    role: Role
    path: Path


@dataclass(frozen=True)
class Node:
    """A device, filesystem or swap. `device_id` is None for what cannot be referred to."""

    kind: NodeKind
    device_id: str | None
    path: Path
    targets: tuple[Target, ...]
    definition: Definition

    @property
    def label(self) -> str:
        """How messages name the node."""
        if self.device_id is not None:
            return f"{self.kind} '{self.device_id}'"
        if isinstance(self.definition, FileSystem):
            if self.definition.mount_path is not None:
                return f"{self.kind} at '{self.definition.mount_path}'"
            return f"{self.kind} on '{self.definition.device_id}'"
        return f"{self.kind} on '{self.targets[0].device_id}'"


@dataclass(frozen=True)
class Edge:
    source: Node
    target: Node
    role: Role


class StorageGraph:
    """All nodes of a storage section. The first device with an id owns it."""

    def __init__(self, storage: Storage, permitted: Mapping[NodeKind, frozenset[NodeKind]]) -> None:
        """`permitted` says on which kinds of devices each kind of node may stand."""
        self.nodes = tuple(_nodes(storage))
        self.by_id: dict[str, Node] = {}
        for node in self.nodes:
            if node.device_id is not None:
                self.by_id.setdefault(node.device_id, node)
        self._referrers: dict[int, list[Node]] = {}
        self._edges: dict[int, tuple[Edge, ...]] = {}
        for node in self.nodes:
            found = tuple(self._resolve(node, permitted))
            for edge in found:
                self._referrers.setdefault(id(edge.target), []).append(node)
            self._edges[id(node)] = tuple(e for e in found if self.referrers(e.target)[0] is node)

        self._mounted: dict[PurePosixPath, tuple[Node, FileSystem]] = {}
        for node, fs in self.filesystems():
            if fs.mount_path is not None:
                self._mounted.setdefault(fs.mount_path, (node, fs))

    def _resolve(
        self, node: Node, permitted: Mapping[NodeKind, frozenset[NodeKind]]
    ) -> Iterator[Edge]:
        for target in node.targets:
            found = self.by_id.get(target.device_id)
            if found is not None and found.kind in permitted[node.kind]:
                yield Edge(node, found, target.role)

    def edges(self, node: Node) -> tuple[Edge, ...]:
        """What `node` stands on; a device that several stand on belongs to the first of them."""
        return self._edges[id(node)]

    def referrers(self, node: Node) -> list[Node]:
        """What stands on `node` directly, in the order of the document."""
        return self._referrers.get(id(node), [])

    def bottom_up(self) -> Iterator[Node]:
        """Every node once, after what it stands on; trees in the order of their tops."""
        seen: set[int] = set()

        def visit(node: Node) -> Iterator[Node]:
            for edge in self.edges(node):
                yield from visit(edge.target)
            if id(node) not in seen:
                seen.add(id(node))
                yield node

        for node in self.nodes:
            if not self.referrers(node):
                yield from visit(node)

    def partitions(self, node: Node) -> tuple[Node, ...]:
        """Partitions to be created whose space or content `node` shows; not a verity's hash."""
        if node.kind is NodeKind.PARTITION:
            return (node,)
        return tuple(
            partition
            for edge in self.edges(node)
            if edge.role is not Role.VERITY_HASH
            for partition in self.partitions(edge.target)
        )

    def beneath(self, node: Node) -> Iterator[Node]:
        """`node` and everything it stands on."""
        yield node
        for edge in self.edges(node):
            yield from self.beneath(edge.target)

    def has_ab(self, device_id: str) -> bool:
        """Whether the device is an A/B volume pair or stands on one."""
        node = self.by_id.get(device_id)
        return node is not None and self.stands_on_ab(node)

    def stands_on_ab(self, node: Node) -> bool:
        """Whether `node` is an A/B volume pair or stands on one."""
        return any(below.kind is NodeKind.AB_VOLUME for below in self.beneath(node))

    def verity_beneath(self, node: Node) -> VerityDevice | None:
        """The verity device that `node` stands on."""
        for below in self.beneath(node):
            if isinstance(below.definition, VerityDevice):
                return below.definition
        return None

    def filesystems(self) -> Iterator[tuple[Node, FileSystem]]:
        for node in self.nodes:
            if isinstance(node.definition, FileSystem):
                yield node, node.definition

    def filesystem_at(self, path: PurePosixPath) -> tuple[Node, FileSystem] | None:
        """The filesystem mounted exactly at `path`."""
        return self._mounted.get(path)

    def filesystem_for(self, path: PurePosixPath) -> tuple[Node, FileSystem] | None:
        """The filesystem that holds `path`: the one with the longest mount point above it."""
        above = (self._mounted[step] for step in (path, *path.parents) if step in self._mounted)
        return next(above, None)

    def size_bytes(self, device_id: str) -> int | None:
        """Usable size of a device; None when it is not known before the disk is."""
        node = self.by_id.get(device_id)
        return None if node is None else self._size(node)

    def _size(self, node: Node) -> int | None:
        definition = node.definition
        if isinstance(definition, Partition):
            return fixed_bytes(definition.size)
        below = [edge.target for edge in self.edges(node) if edge.role is not Role.VERITY_HASH]
        sizes = [self._size(target) for target in below]
        known = [size for size in sizes if size is not None]
        if not known or len(known) != len(sizes):
            return None
        if isinstance(definition, SoftwareRaidArray):
            return _raid_size(definition.level, min(known), len(known))
        if isinstance(definition, EncryptedVolume):
            return max(0, known[0] - LUKS_HEADER_BYTES)
        return known[0]


def _raid_size(level: RaidLevel, member_bytes: int, members: int) -> int:
    match level:
        case RaidLevel.RAID0:
            return member_bytes * members
        case RaidLevel.RAID1:
            return member_bytes
        case RaidLevel.RAID5:
            return member_bytes * max(0, members - 1)
        case RaidLevel.RAID6:
            return member_bytes * max(0, members - 2)
        case RaidLevel.RAID10:
            return member_bytes * (members // 2)


def filesystem_kind(fs: FileSystem) -> NodeKind:
    """What kind of node a filesystem is; only one from the image can be the ESP's."""
    if fs.effective_type is not None and not fs.effective_type.has_device:
        return NodeKind.FILESYSTEM_VIRTUAL
    match fs.source:
        case FileSystemSource.NEW:
            return NodeKind.FILESYSTEM_NEW
        case FileSystemSource.ADOPTED:
            return NodeKind.FILESYSTEM_ADOPTED
        case FileSystemSource.IMAGE:
            return NodeKind.FILESYSTEM_ESP if fs.is_esp else NodeKind.FILESYSTEM_IMAGE


def _nodes(storage: Storage) -> Iterator[Node]:
    """Nodes in the order in which rules look at them."""
    yield from _disk_nodes(storage)
    for i, array in enumerate(storage.raid.software):
        path: Path = ("storage", "raid", "software", i)
        members = tuple(
            Target(member, Role.MEMBER, (*path, "devices", n))
            for n, member in enumerate(array.devices)
        )
        yield Node(NodeKind.RAID_ARRAY, array.id, path, members, array)
    for i, pair in enumerate(storage.volume_pairs):
        path = ("storage", "abUpdate", "volumePairs", i)
        sides = (
            Target(pair.volume_a_id, Role.MEMBER, (*path, "volumeAId")),
            Target(pair.volume_b_id, Role.MEMBER, (*path, "volumeBId")),
        )
        yield Node(NodeKind.AB_VOLUME, pair.id, path, sides, pair)
    for i, volume in enumerate(storage.encrypted_volumes):
        path = ("storage", "encryption", "volumes", i)
        backing = Target(volume.device_id, Role.MEMBER, (*path, "deviceId"))
        yield Node(NodeKind.ENCRYPTED_VOLUME, volume.id, path, (backing,), volume)
    for i, verity in enumerate(storage.verity):
        path = ("storage", "verity", i)
        both = (
            Target(verity.data_device_id, Role.VERITY_DATA, (*path, "dataDeviceId")),
            Target(verity.hash_device_id, Role.VERITY_HASH, (*path, "hashDeviceId")),
        )
        yield Node(NodeKind.VERITY_DEVICE, verity.id, path, both, verity)
    yield from _top_nodes(storage)


def _disk_nodes(storage: Storage) -> Iterator[Node]:
    for i, disk in enumerate(storage.disks):
        path: Path = ("storage", "disks", i)
        yield Node(NodeKind.DISK, disk.id, path, (), disk)
        for n, partition in enumerate(disk.partitions):
            yield Node(NodeKind.PARTITION, partition.id, (*path, "partitions", n), (), partition)
        for n, adopted in enumerate(disk.adopted_partitions):
            yield Node(
                NodeKind.ADOPTED_PARTITION, adopted.id, (*path, "adoptedPartitions", n), (), adopted
            )


def _top_nodes(storage: Storage) -> Iterator[Node]:
    for i, fs in enumerate(storage.filesystems):
        path: Path = ("storage", "filesystems", i)
        kind = filesystem_kind(fs)
        device = fs.device_id if kind is not NodeKind.FILESYSTEM_VIRTUAL else None
        below = (Target(device, Role.MEMBER, (*path, "deviceId")),) if device is not None else ()
        yield Node(kind, None, path, below, fs)
    for i, swap in enumerate(storage.swap):
        path = ("storage", "swap", i)
        yield Node(NodeKind.SWAP, None, path, (Target(swap.device_id, Role.MEMBER, path),), swap)
