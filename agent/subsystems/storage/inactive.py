"""The side that an A/B update writes: that it is there, and that nobody uses it. Reads only."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.engine.context import Context
from agent.linux import block
from agent.subsystems.storage import filesystems, safety
from agent.subsystems.storage.image_match import Match
from agent.subsystems.storage.layout import dynamic_error


def checked_sizes(context: Context, matches: Sequence[Match]) -> dict[str, int]:
    """Bytes of every device that the update writes, by the id that the configuration uses.

    Raises partitions-removed when a recorded partition is gone, disk-in-use when one that is to be
    written is mounted, swap, or part of another device.
    """
    _require_present(context)
    sizes = {}
    for device_id in written_ids(context, matches):
        path = context.device_path(device_id)
        _require_unused(device_id, path)
        sizes[device_id] = block.size_bytes(path)
    return sizes


def written_ids(context: Context, matches: Sequence[Match]) -> tuple[str, ...]:
    """The devices and A/B pairs that this run writes. Pure."""
    storage = context.configuration.storage
    images = filesystems.image_targets(storage, matches, context.servicing)
    made = filesystems.to_make(storage, matches, context.servicing)
    ids = [item.device_id for item in images] + [item.device_id for item in made]
    return tuple(dict.fromkeys(ids))


def _require_present(context: Context) -> None:
    gone = [id_ for id_, path in context.facts.partition_paths.items() if not _is_device(path)]
    if gone:
        names = ", ".join(f"'{id_}'" for id_ in gone)
        raise TridentError(
            Kind.UNSUPPORTED_CONFIGURATION,
            "partitions-removed",
            f"partitions of this installation are gone: {names}",
            hint="reconnect their disk; if it is lost, install the host anew",
            fields={"partition_ids": ",".join(gone)},
        )


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        return False


def _require_unused(device_id: str, path: Path) -> None:
    reasons = list(_users(path))
    if reasons:
        raise dynamic_error(
            "disk-in-use",
            f"'{device_id}' is to be overwritten but in use: {'; '.join(reasons)}",
            "unmount it, stop what is built on it, then start the update again",
            path=str(path),
        )


def _users(path: Path) -> Iterator[str]:
    yield from safety.refusals(block.inspect(path))
    for holder in block.holders(path):
        yield f"{path} is part of {holder}"
    if block.in_exclusive_use(path):
        yield f"the kernel keeps {path} open for another user"
