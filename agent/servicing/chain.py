"""The rollback chain: what earlier systems of this host can be gone back to. Pure.

The datastore's rows are read as the host's history, oldest first. Each change that came to count
puts the system before it on the chain. A runtime change is gone back on by a runtime rollback, an
A/B update by booting the other side, as long as nothing has begun to overwrite that. A rollback
takes what it went back to off the chain, and what was newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import indent

from pydantic import JsonValue

from agent.api import dump, yamltext
from agent.api import status as host_status
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.datastore import Row

_WRITING = frozenset(
    (
        ServicingState.AB_UPDATE_STAGED,
        ServicingState.AB_UPDATE_FINALIZED,
        ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED,
    )
)
_ROLLBACKS = frozenset(
    (
        ServicingState.MANUAL_ROLLBACK_AB_STAGED,
        ServicingState.MANUAL_ROLLBACK_AB_FINALIZED,
        ServicingState.MANUAL_ROLLBACK_RUNTIME_STAGED,
    )
)
_BEGINNINGS = frozenset(
    (
        ServicingState.NOT_PROVISIONED,
        ServicingState.CLEAN_INSTALL_STAGED,
        ServicingState.CLEAN_INSTALL_FINALIZED,
    )
)


class TargetKind(StrEnum):
    """How an earlier system is gone back to: by a reboot into the other side, or in place."""

    AB = "ab"
    RUNTIME = "runtime"


@dataclass(frozen=True)
class Target:
    """An earlier system that the host can go back to."""

    spec: HostConfiguration
    ab_active_volume: AbVolume | None
    """The side that it is on; None on a host without sides."""
    install_index: int
    kind: TargetKind = TargetKind.AB

    def to_plain(self) -> dict[str, JsonValue]:
        """Upstream's keys."""
        volume = self.ab_active_volume
        return {
            "kind": str(self.kind),
            "spec": dump.to_plain(self.spec),
            "abActiveVolume": str(volume) if volume is not None else None,
            "installIndex": self.install_index,
        }


def parse(rows: Iterable[Row]) -> tuple[HostStatus | None, ...]:
    """The statuses of `rows`, newest first; None for a row that cannot be understood."""
    return tuple(_parse(row.contents) for row in reversed(tuple(rows)))


def chain(statuses: Sequence[HostStatus | None]) -> tuple[Target, ...]:
    """What can be gone back to, most recent first; `statuses` are newest first.

    Empty unless the newest is `provisioned`. Going back is not itself gone back on.
    """
    newest = statuses[0] if statuses else None
    if newest is None or newest.servicing_state is not ServicingState.PROVISIONED:
        return ()
    history = _History()
    for status in reversed(statuses):
        history.read(status)
    return tuple(reversed(history.targets))


class _History:
    """The host as the rows up to one of them tell it."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        """What can be gone back to, oldest first."""
        self._running: HostStatus | None = None
        """The system that was last said to run."""
        self._going_back = False

    def read(self, status: HostStatus | None) -> None:
        """Take in the next row."""
        if status is None or status.servicing_state in _BEGINNINGS:
            self.targets, self._running = [], None
            return
        if status.servicing_state in _WRITING and status.ab_active_volume is not None:
            self._lose(status.ab_active_volume.other)
        if status.overwritten_volume is not None:
            self._lose(status.overwritten_volume)
        if status.servicing_state is ServicingState.PROVISIONED:
            self._arrive(status)
        self._going_back = status.servicing_state in _ROLLBACKS

    def _arrive(self, status: HostStatus) -> None:
        """`status` is what runs now: the same as before, a new system, or an earlier one."""
        before, self._running = self._running, status
        if before is None:
            return
        flipped = status.ab_active_volume is not before.ab_active_volume
        kind = TargetKind.AB if flipped else TargetKind.RUNTIME
        if self._going_back and (flipped or status.spec != before.spec):
            self._drop(kind)
        elif flipped or status.spec != before.spec:
            self.targets.append(
                Target(before.spec, before.ab_active_volume, before.install_index, kind)
            )

    def _drop(self, kind: TargetKind) -> None:
        """The newest of `kind` was gone back to: it and what was newer are no targets any more."""
        while self.targets and self.targets.pop().kind is not kind:
            continue

    def _lose(self, volume: AbVolume) -> None:
        """`volume` is overwritten: neither it nor anything before it can be gone back to."""
        for index in reversed(range(len(self.targets))):
            target = self.targets[index]
            if target.kind is TargetKind.AB and target.ab_active_volume is volume:
                del self.targets[: index + 1]
                return


def _parse(contents: str) -> HostStatus | None:
    try:
        return host_status.parse(contents)
    except TridentError:
        return None


def to_text(targets: Sequence[Target]) -> str:
    """The chain as YAML, a list."""
    items = [indent(yamltext.dump(target.to_plain()), "  ") for target in targets]
    return "".join(f"- {item.removeprefix('  ')}" for item in items) or "[]\n"
