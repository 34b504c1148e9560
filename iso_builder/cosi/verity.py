"""Which partitions dm-verity binds together: read from the kernel command line and the table.

`roothash=`, `usrhash=` and `systemd.verity_*` as in systemd-veritysetup-generator(8): without an
explicit device, the first half of the hash is the GUID of the data partition, the second half that
of the hash partition. Where GUIDs say nothing, the only partition of the right type is taken
(UAPI.2, Discoverable Partitions Specification).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from agent.api.errors import Kind, TridentError, context
from agent.api.parttypes import PartitionKind, kind_of
from agent.linux import veritysetup
from iso_builder.cosi import inventory
from iso_builder.cosi.rawdisk import Piece
from iso_builder.cosi.refusal import not_understood

HASH_TREE = "DM_verity_hash"
"""What blkid calls a partition with a verity superblock."""
_ROOT_HASH = re.compile("[0-9a-fA-F]{64,128}")


@dataclass(frozen=True)
class _Role:
    name: str
    option: str
    data: PartitionKind
    tree: PartitionKind


_ROLES = (
    _Role("root", "roothash", PartitionKind.ROOT, PartitionKind.ROOT_VERITY),
    _Role("usr", "usrhash", PartitionKind.USR, PartitionKind.USR_VERITY),
)


@dataclass(frozen=True)
class VerityPair:
    """A data partition, the partition of its hash tree, and the root hash in lower case."""

    data: Piece
    tree: Piece
    root_hash: str


def pairs(pieces: Sequence[Piece], command_lines: Sequence[str]) -> tuple[VerityPair, ...]:
    """The verity pairs of a disk that these kernel command lines open.

    Raises image-not-understood: a hash without its partitions, or a hash tree without its hash.
    """
    found = tuple(
        pair for role in _ROLES if (pair := _pair(role, pieces, command_lines)) is not None
    )
    claimed = [pair.tree for pair in found]
    for piece in pieces:
        if _may_be_tree(piece) and piece not in claimed:
            raise not_understood(
                f"partition {piece.entry.number} is a verity hash tree, "
                "and no kernel command line tells its root hash",
                "the kernel command line needs roothash= or usrhash=",
            )
    return found


def check(pair: VerityPair) -> None:
    """Recompute the whole hash tree. Raises corrupt-os-image when it does not match."""
    with context(f"checking partition {pair.data.entry.number} against its hash tree"):
        if veritysetup.matches(pair.data.image, pair.tree.image, pair.root_hash):
            return
        raise TridentError(
            Kind.INVALID_INPUT,
            "corrupt-os-image",
            f"partition {pair.data.entry.number} is not what the root hash "
            f"{pair.root_hash} promises: the OS would not boot",
            hint="seal the image again: veritysetup format, then the hash into the command line",
        )


def _pair(role: _Role, pieces: Sequence[Piece], command_lines: Sequence[str]) -> VerityPair | None:
    hashes = {value.lower() for value in inventory.options(command_lines, role.option)}
    if not hashes:
        return None
    root_hash = hashes.pop()
    if hashes or not _ROOT_HASH.fullmatch(root_hash):
        raise not_understood(
            f"the kernel command lines name more than one {role.option}"
            if hashes
            else f"the kernel command line has {role.option}={root_hash}",
            f"every boot entry must have the same {role.option}, 64 or more hexadecimal digits",
        )
    data = _partition(role, "data", root_hash[:32], role.data, pieces, command_lines)
    tree = _partition(role, "hash", root_hash[-32:], role.tree, pieces, command_lines)
    if tree.signature.filesystem != HASH_TREE:
        raise not_understood(
            f"partition {tree.entry.number} holds no verity hash tree",
            "make it with 'veritysetup format', with its superblock",
        )
    return VerityPair(data, tree, root_hash)


def _partition(
    role: _Role,
    part: str,
    guid_digits: str,
    kind: PartitionKind,
    pieces: Sequence[Piece],
    command_lines: Sequence[str],
) -> Piece:
    """The partition of one part of a verity device: as told, by its GUID, or by its type."""
    option = f"systemd.verity_{role.name}_{part}"
    told = inventory.options(command_lines, option)
    ways = (
        [piece for device in told for piece in pieces if _is_named(piece, device)],
        [piece for piece in pieces if piece.entry.guid == UUID(guid_digits)],
        [piece for piece in pieces if kind_of(piece.entry.type) is kind],
    )
    found = ways[0] if told else ways[1] or ways[2]
    if len({piece.entry.number for piece in found}) != 1:
        raise not_understood(
            f"the kernel command line has {role.option}=, and "
            f"{'no' if not found else 'more than one'} partition can be its {part}",
            f"name it by {option}=PARTUUID=..., or give it the type '{kind}'",
        )
    return found[0]


def _may_be_tree(piece: Piece) -> bool:
    """Whether it holds a tree, or anything where a tree belongs (an empty one waits for a B)."""
    trees = [role.tree for role in _ROLES]
    found = piece.signature.filesystem
    return found == HASH_TREE or (found is not None and kind_of(piece.entry.type) in trees)


def _is_named(piece: Piece, device: str) -> bool:
    return inventory.names_device(
        inventory.Mount(device, PurePosixPath("/")),
        uuid=piece.signature.uuid or "",
        label=piece.signature.label or "",
        partition_uuid=str(piece.entry.guid),
        partition_label=piece.entry.name,
    )
