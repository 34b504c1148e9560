"""Whether a disk may be overwritten, and whether it is still the disk that was checked. Pure
decisions (`refusals`, `differences`) and the thin functions that read the facts for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import block, probe
from agent.linux.block import BlockDevice
from agent.subsystems.storage.layout import dynamic_error

_PLAIN_TYPES = ("disk", "loop", "part")
_SWAP = "[SWAP]"


@dataclass(frozen=True)
class Identity:
    """What tells one disk from another under the same name."""

    sequence: int | None
    """The kernel's diskseq."""
    size_bytes: int
    serial: str | None
    wwn: str | None
    table_uuid: str | None
    """GUID of the partition table it had."""


def refusals(device: BlockDevice) -> tuple[str, ...]:
    """Why `device` must not be overwritten; empty when nothing speaks against it."""
    return tuple(_refusals(device))


def identify(path: Path) -> Identity:
    """Read the identity of the disk that has this name now."""
    device = block.inspect(path)
    return Identity(
        sequence=block.sequence(path),
        size_bytes=device.size_bytes,
        serial=device.serial,
        wwn=device.wwn,
        table_uuid=probe.signature(path).table_uuid,
    )


def differences(before: Identity, now: Identity) -> tuple[str, ...]:
    """What is not the same any more, as `serial was A, is B`."""
    return tuple(
        f"{field.name.replace('_', ' ')} was {getattr(before, field.name)}, "
        f"is {getattr(now, field.name)}"
        for field in fields(Identity)
        if getattr(before, field.name) != getattr(now, field.name)
    )


def require_unused(path: Path) -> None:
    """Raise disk-in-use, listing every user, unless the whole disk is free to be overwritten."""
    reasons = list(refusals(block.inspect(path)))
    reasons += [f"{path} is part of {holder}" for holder in block.holders(path)]
    if not reasons and block.in_exclusive_use(path):
        reasons.append(f"the kernel keeps {path} open for another user")
    if reasons:
        raise dynamic_error(
            "disk-in-use",
            f"{path} is in use and is not overwritten: " + "; ".join(reasons),
            "unmount it, stop the arrays and volumes on it, or name another disk in "
            "storage.disks[].device",
            path=str(path),
        )


def require_same(path: Path, before: Identity) -> None:
    """Raise create-partitions unless the disk is the one that `before` was read from."""
    changed = differences(before, identify(path))
    if changed:
        raise TridentError(
            Kind.SERVICING,
            "create-partitions",
            f"{path} is no longer the disk that was checked: " + "; ".join(changed),
            hint="nothing was written; let no other program change the machine's disks, then "
            "start again",
            fields={"path": str(path)},
        )


def _refusals(device: BlockDevice) -> Iterator[str]:
    if device.read_only:
        yield f"{device.path} is read-only"
    for node in device.walk():
        for mount_point in node.mount_points:
            if mount_point == _SWAP:
                yield f"{node.path} is active swap"
            else:
                yield f"{node.path} is mounted on {mount_point}"
        if node is not device and node.type not in _PLAIN_TYPES:
            yield f"{node.path} ({node.type}) is built on it"
