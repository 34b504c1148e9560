"""What a subsystem is: a domain (storage, boot, hooks ...) that says its steps before doing them.

The engine defines this seam, `agent.subsystems` implements it, `agent.servicing` brings both
together. A subsystem never calls another; order between them comes from phases and from the list
in `agent.servicing.subsystems`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

from agent.engine.context import Context


class Phase(IntEnum):
    """When a step runs. Within a phase: subsystem order, then the order a subsystem gives."""

    PRE_SERVICING = 0
    """The operator's scripts that make the host ready; they run before the host is checked."""
    PREPARE = 1
    """Nothing is destroyed; everything that can fail early does so here."""
    CREATE = 2
    """Block devices: partitions, RAID, encryption, image contents, new filesystems, swap."""
    PROVISION = 3
    """The newroot is mounted at `context.newroot`."""
    CONFIGURE = 4
    """As PROVISION, and /dev, /proc, /sys, /run, /tmp are mounted in it: chroot works."""
    FINALIZE = 5
    """The newroot is mounted; firmware and fallback boot files are changed. At run time: the
    running system is changed."""


class Verb(StrEnum):
    """What an effect does to its target."""

    FETCH = "fetch"
    DESTROY = "destroy"
    CREATE = "create"
    WRITE = "write"
    CHANGE = "change"
    RUN = "run"


@dataclass(frozen=True)
class Effect:
    """One visible consequence of a step, as the plan prints it."""

    verb: Verb
    target: str
    """What is touched: a device, a URL, a path in the target."""
    detail: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True)
class Step:
    """A small act with a name and its declared effects; `run` does nothing beside them."""

    name: str
    """Stable, `subsystem/act`: `storage/partitions`."""
    phase: Phase
    message: str
    """For people; also read behind 'while': "creating partitions on /dev/sda"."""
    run: Callable[[Context], None]
    effects: tuple[Effect, ...] = ()
    undo: Callable[[Context], None] | None = None
    """Takes back what `run` did, or began to do, also in a later process; may be called again.

    Only steps that change the running system have one.
    """

    @property
    def destructive(self) -> bool:
        """Whether data that exists before the run is lost by it."""
        return any(effect.verb is Verb.DESTROY for effect in self.effects)


class Subsystem(Protocol):
    """One domain of servicing, made anew for each run.

    `validate` comes first and may keep what it found for `stage`; `stage` and `finalize` touch
    nothing but the context and that.
    """

    @property
    def name(self) -> str:
        """Stable name, the first part of its steps' names."""
        ...

    def tools(self, context: Context, /) -> Sequence[str]:
        """Programs of the servicing OS that the steps call; checked before anything is touched."""
        ...

    def validate(self, context: Context, /) -> None:
        """Check against the host all that can be checked by reading. Raises TridentError."""
        ...

    def stage(self, context: Context, /) -> Sequence[Step]:
        """The steps of staging, in order; their phases must not decrease."""
        ...

    def finalize(self, context: Context, /) -> Sequence[Step]:
        """The steps of finalizing (phase FINALIZE). May run in a later process than `stage`:
        `context.image` can be None and `context.facts` come from the Host Status."""
        ...
