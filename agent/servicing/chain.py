"""The rollback chain: what earlier systems of this host can be gone back to. Pure.

Read from the datastore's rows, newest to oldest. The other side of the A/B pairs can be gone back
to when it was committed once and nothing has begun to overwrite it since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
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
    (ServicingState.MANUAL_ROLLBACK_AB_STAGED, ServicingState.MANUAL_ROLLBACK_AB_FINALIZED)
)
_BEGINNINGS = frozenset(
    (
        ServicingState.NOT_PROVISIONED,
        ServicingState.CLEAN_INSTALL_STAGED,
        ServicingState.CLEAN_INSTALL_FINALIZED,
    )
)


@dataclass(frozen=True)
class Target:
    """An earlier system that the host can go back to by an A/B rollback."""

    spec: HostConfiguration
    ab_active_volume: AbVolume
    install_index: int

    def to_plain(self) -> dict[str, JsonValue]:
        """Upstream's keys."""
        return {
            "kind": "ab",
            "spec": dump.to_plain(self.spec),
            "abActiveVolume": str(self.ab_active_volume),
            "installIndex": self.install_index,
        }


class _Verdict(Enum):
    STOP = "stop"
    SKIP = "skip"
    FOUND = "found"


def parse(rows: Iterable[Row]) -> tuple[HostStatus | None, ...]:
    """The statuses of `rows`, newest first; None for a row that cannot be understood."""
    return tuple(_parse(row.contents) for row in reversed(tuple(rows)))


def chain(statuses: Sequence[HostStatus | None]) -> tuple[Target, ...]:
    """What can be gone back to, most recent first; `statuses` are newest first.

    Empty unless the newest is `provisioned`. Going back is not itself gone back on.
    """
    if not statuses or statuses[0] is None:
        return ()
    newest = statuses[0]
    active = newest.ab_active_volume
    if newest.servicing_state is not ServicingState.PROVISIONED or active is None:
        return ()
    for status in statuses:
        verdict = _judge(status, active)
        if verdict is _Verdict.FOUND and status is not None:
            return (Target(status.spec, active.other, status.install_index),)
        if verdict is _Verdict.STOP:
            return ()
    return ()


def _judge(status: HostStatus | None, active: AbVolume) -> _Verdict:
    if status is None or status.servicing_state in _BEGINNINGS:
        return _Verdict.STOP
    if status.ab_active_volume is active:
        lost = status.servicing_state in _WRITING or status.overwritten_volume is active.other
        return _Verdict.STOP if lost else _Verdict.SKIP
    if status.servicing_state in _ROLLBACKS:
        return _Verdict.STOP
    if status.servicing_state is ServicingState.PROVISIONED:
        return _Verdict.FOUND
    return _Verdict.SKIP


def _parse(contents: str) -> HostStatus | None:
    try:
        return host_status.parse(contents)
    except TridentError:
        return None


def to_text(targets: Sequence[Target]) -> str:
    """The chain as YAML, a list."""
    items = [indent(yamltext.dump(target.to_plain()), "  ") for target in targets]
    return "".join(f"- {item.removeprefix('  ')}" for item in items) or "[]\n"
