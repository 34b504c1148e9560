"""The storage graph's rules, in the order in which upstream evaluates them.

Each check takes the graph and yields what breaks its rule; the tables are in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final

from agent.api.storage import (
    AdoptedPartition,
    Disk,
    FileSystem,
    Partition,
    SoftwareRaidArray,
    VerityDevice,
)
from agent.api.units import fixed_bytes
from agent.api.yamltext import Path
from agent.check.findings import Finding, Severity
from agent.check.graph import Node, NodeKind, Role, StorageGraph
from agent.check.rules import (
    HASH_TYPE,
    MANY,
    ROLE_TYPES,
    RULES,
    UNIQUE,
    USUAL_MOUNT_POINTS,
    named,
)

SECTOR_BYTES: Final = 4096

_YAML_NAMES: Final = {
    "match_label": "matchLabel",
    "match_uuid": "matchUuid",
    "device_name": "deviceName",
}


def check(graph: StorageGraph) -> Iterator[Finding]:
    """All findings about the graph."""
    for rule in _CHECKS:
        yield from rule(graph)


def _unique_ids(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.device_id is not None and graph.by_id[node.device_id] is not node:
            first = graph.by_id[node.device_id]
            yield Finding(
                "duplicate-device-id",
                f"device id '{node.device_id}' is already taken by {first.label}",
                (*node.path, "id"),
                "give every disk, partition, array and volume an id of its own",
            )


def _basic(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        match node.definition:
            case Disk() as disk if not disk.device.is_absolute():
                yield _basic_finding((*node.path, "device"), f"'{disk.device}' is not absolute")
            case Partition() as partition:
                size = fixed_bytes(partition.size)
                if size is not None and (size == 0 or size % SECTOR_BYTES):
                    yield _basic_finding(
                        (*node.path, "size"),
                        f"partition size {partition.size} is not a multiple of {SECTOR_BYTES}"
                        " bytes above zero",
                    )
            case AdoptedPartition() as adopted:
                if (adopted.match_label is None) == (adopted.match_uuid is None):
                    yield _basic_finding(
                        node.path,
                        "an adopted partition is found by either matchLabel or matchUuid",
                    )


def _basic_finding(path: Path, message: str) -> Finding:
    return Finding("basic-check-failed", message, path)


def _unique_fields(graph: StorageGraph) -> Iterator[Finding]:
    seen: dict[tuple[NodeKind, str, object], Node] = {}
    for node in graph.nodes:
        for field in UNIQUE.get(node.kind, ()):
            value = getattr(node.definition, field)
            if value is None:
                continue
            first = seen.setdefault((node.kind, field, value), node)
            if first is not node:
                name = _YAML_NAMES.get(field, field)
                yield Finding(
                    "unique-field-constraint-error",
                    f"{node.label} and {first.label} have the same {name} '{value}'",
                    (*node.path, name),
                )


def _filesystems(graph: StorageGraph) -> Iterator[Finding]:
    mounted: set[PurePosixPath] = set()
    esp: Node | None = None
    for node, fs in graph.filesystems():
        yield from _filesystem(node, fs)
        yield from _mount_point(node, fs, mounted)
        if fs.is_esp and fs.mount_path is not None:
            if esp is not None:
                yield Finding(
                    "filesystem-esp-multiple",
                    f"{node.label} and {esp.label} are both the ESP",
                    node.path,
                    "mark one of them with 'overrideEspMount: block'",
                )
            esp = esp or node


def _filesystem(node: Node, fs: FileSystem) -> Iterator[Finding]:
    if node.kind is not NodeKind.FILESYSTEM_VIRTUAL:
        if fs.device_id is None:
            yield Finding(
                "filesystem-missing-block-device-id", f"{node.kind} needs a deviceId", node.path
            )
        return
    if fs.device_id is not None:
        yield Finding(
            "filesystem-unexpected-block-device-id",
            f"a {fs.effective_type} filesystem has no deviceId",
            (*node.path, "deviceId"),
        )
    if fs.mount_point is None:
        yield Finding(
            "filesystem-missing-mount-point",
            f"a {fs.effective_type} filesystem needs a mountPoint",
            node.path,
        )


def _mount_point(node: Node, fs: FileSystem, mounted: set[PurePosixPath]) -> Iterator[Finding]:
    """Rules about the mount point; `mounted` collects those that were seen."""
    if fs.mount_path is None:
        if fs.is_esp:
            yield Finding(
                "filesystem-esp-without-mount-point",
                f"{node.label} is marked as the ESP and needs a mountPoint",
                (*node.path, "overrideEspMount"),
                "mount it at /boot/efi",
            )
        return
    where = (*node.path, "mountPoint")
    if not fs.mount_path.is_absolute():
        yield Finding("mount-point-path-not-absolute", f"'{fs.mount_path}' is not absolute", where)
    elif fs.mount_path in mounted:
        yield Finding(
            "duplicate-mount-point", f"two filesystems are mounted at '{fs.mount_path}'", where
        )
    mounted.add(fs.mount_path)


def _references(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        yield from _targets(node)
        rule = RULES[node.kind]
        for target in node.targets:
            found = graph.by_id.get(target.device_id)
            if found is None:
                yield Finding(
                    "non-existent-reference",
                    f"{node.label} stands on '{target.device_id}', which does not exist",
                    target.path,
                    "name the id of a partition, array, pair, volume or verity device",
                )
            elif found.kind not in rule.kinds:
                kinds = ", ".join(sorted(rule.kinds))
                yield Finding(
                    "invalid-reference-kind",
                    f"{node.label} cannot stand on {found.label}, only on: {kinds}",
                    target.path,
                )


def _targets(node: Node) -> Iterator[Finding]:
    """The number of targets, and that none comes twice. A filesystem's is checked as such."""
    seen: set[str] = set()
    for target in node.targets:
        if target.device_id in seen:
            yield Finding(
                "duplicate-target-id",
                f"{node.label} names '{target.device_id}' more than once",
                target.path,
            )
        seen.add(target.device_id)
    count = len(node.targets)
    low, high = RULES[node.kind].targets
    if not isinstance(node.definition, FileSystem) and not low <= count <= high:
        expected = f"at least {low}" if high == MANY else str(low)
        yield Finding(
            "invalid-target-count", f"{node.label} has {count} of {expected} devices", node.path
        )


def _sharing(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        first, *others = graph.referrers(node) or [node]
        for other in others:
            if other is not first:
                yield Finding(
                    "referrer-forbidden-sharing",
                    f"{other.label} and {first.label} cannot both stand on {node.label}",
                    other.path,
                )


def _same_kinds(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        kinds = {edge.target.kind for edge in graph.edges(node)}
        if RULES[node.kind].same_kind and len(kinds) > 1:
            yield Finding(
                "reference-kind-mismatch",
                f"{node.label} stands on devices of different kinds: {', '.join(sorted(kinds))}",
                node.path,
            )


def _sizes(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.bottom_up():
        if not RULES[node.kind].same_fixed_size:
            continue
        parts = _partitions(graph, node)
        for part, definition in parts:
            if fixed_bytes(definition.size) is None:
                yield Finding(
                    "partition-size-not-fixed",
                    f"{part.label} is beneath {node.label} and cannot have the size 'grow'",
                    (*part.path, "size"),
                    "give it a size",
                )
        sizes = {fixed_bytes(definition.size) for _, definition in parts} - {None}
        if len(sizes) > 1:
            yield Finding(
                "partition-size-mismatch",
                f"the partitions beneath {node.label} have different sizes",
                node.path,
            )


def _types(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.bottom_up():
        if isinstance(node.definition, VerityDevice):
            yield from _verity_sides(graph, node)
        yield from _node_types(graph, node)
        if isinstance(node.definition, FileSystem):
            yield from _usual_mount_point(graph, node, node.definition)


def _node_types(graph: StorageGraph, node: Node) -> Iterator[Finding]:
    rule = RULES[node.kind]
    parts = _partitions(graph, node)
    if rule.same_type and len({named(definition.type) for _, definition in parts}) > 1:
        yield Finding(
            "partition-type-mismatch",
            f"the partitions beneath {node.label} have different types",
            node.path,
        )
    for part, definition in parts:
        if node.kind is not NodeKind.PARTITION and named(definition.type) not in rule.types:
            yield Finding(
                "invalid-partition-type",
                f"{part.label} of type '{definition.type}' cannot be beneath {node.label};"
                f" types that can: {rule.types}",
                (*part.path, "type"),
            )


def _verity_sides(graph: StorageGraph, node: Node) -> Iterator[Finding]:
    for edge in graph.edges(node):
        parts = _partitions(graph, edge.target)
        if len({named(definition.type) for _, definition in parts}) > 1:
            yield Finding(
                "partition-type-mismatch-special",
                f"the partitions of the {edge.role} of {node.label} have different types",
                node.path,
            )
        allowed = ROLE_TYPES[edge.role]
        for part, definition in parts:
            if named(definition.type) not in allowed:
                yield Finding(
                    "invalid-partition-type-special",
                    f"{part.label} of type '{definition.type}' cannot be the {edge.role} of"
                    f" {node.label}; types that can: {allowed}",
                    (*part.path, "type"),
                )


def _usual_mount_point(graph: StorageGraph, node: Node, fs: FileSystem) -> Iterator[Finding]:
    types = {named(definition.type) for _, definition in _partitions(graph, node)}
    if fs.mount_path is None or len(types) != 1:
        return
    partition_type = types.pop()
    usual = USUAL_MOUNT_POINTS.get(partition_type)
    if usual is not None and fs.mount_path not in usual:
        where = " or ".join(map(str, usual)) or "nowhere"
        yield Finding(
            "unusual-mount-point",
            f"a partition of type '{partition_type}' is usually mounted {where},"
            f" not at '{fs.mount_path}'",
            (*node.path, "mountPoint"),
            severity=Severity.WARNING,
        )


def _hash_types(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.kind is not NodeKind.VERITY_DEVICE:
            continue
        sides = {
            edge.role: {named(d.type) for _, d in _partitions(graph, edge.target)}
            for edge in graph.edges(node)
        }
        data, hashes = sides.get(Role.VERITY_DATA, set()), sides.get(Role.VERITY_HASH, set())
        expected = {HASH_TYPE[kind] for kind in data if kind in HASH_TYPE}
        if expected and hashes and hashes != expected:
            yield Finding(
                "invalid-verity-hash-partition-type",
                f"the hash device of {node.label} must be of type '{expected.pop()}',"
                f" because its data device is of type '{data.pop()}'",
                (*node.path, "hashDeviceId"),
            )


def _raid_levels(graph: StorageGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        allowed = RULES[node.kind].raid_levels
        for edge in graph.edges(node):
            array = edge.target.definition
            if isinstance(array, SoftwareRaidArray) and array.level not in allowed:
                yield Finding(
                    "invalid-raidlevel",
                    f"{node.label} cannot stand on {array.level}, only on:"
                    f" {', '.join(sorted(allowed))}",
                    (*edge.target.path, "level"),
                )


def _partitions(graph: StorageGraph, node: Node) -> list[tuple[Node, Partition]]:
    return [
        (part, part.definition)
        for part in graph.partitions(node)
        if isinstance(part.definition, Partition)
    ]


_CHECKS: Final[tuple[Callable[[StorageGraph], Iterator[Finding]], ...]] = (
    _unique_ids,
    _basic,
    _unique_fields,
    _filesystems,
    _references,
    _sharing,
    _same_kinds,
    _sizes,
    _types,
    _hash_types,
    _raid_levels,
)
