"""The datastore for a servicing verb; a damaged one is rebuilt first, if the host leaves no doubt.

What is certain is written with all rows that could still be read; the status says in `lastError`
what happened. In doubt nothing is written, and the error lists the doubts. A host is never taken
for one that was not installed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import agent
from agent import datastore
from agent.api import load, yamltext
from agent.api import status as host_status
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus
from agent.datastore import Damaged, Datastore, Row
from agent.linux import architecture, bootvars, efivars
from agent.servicing import booted, evidence
from agent.servicing.evidence import Doubts, Machine, Remembered
from agent.subsystems import trial
from agent.subsystems.storage import partitions

CONFIGURATION = Path("/etc/trident/config.yaml")

log = logging.getLogger(__name__)


Look = Callable[[Remembered], Machine]
"""Finds out what is there of what a memory speaks of."""


@contextmanager
def opened(
    path: Path,
    *,
    root: Path = Path("/"),
    configuration: Path = CONFIGURATION,
    look: Look | None = None,
) -> Iterator[Datastore]:
    """The datastore at `path`, healthy. Needs the servicing lock.

    `root` is where the running system is. `configuration` is asked for the Host Configuration when
    no row of a damaged datastore can be read; `look` looks at the machine (None: this one).
    Raises as `datastore.opened`, and Damaged with the doubts.
    """
    with ExitStack() as stack:
        try:
            store = stack.enter_context(datastore.opened(path))
            _require_understood(store)
        except Damaged as damage:
            stack.close()
            _rebuild(damage, configuration, look or partial(_machine, root))
            store = stack.enter_context(datastore.opened(path))
        yield store


def decide(rows: tuple[Row, ...], configuration: Path, look: Look) -> HostStatus | Doubts:
    """What the host is, from what is left of its memory and from what is there. Reads only."""
    understood = _understood(rows)
    configured = None if understood else _configured(configuration)
    memories = evidence.memories(understood, configured, str(configuration))
    if not memories and understood:
        return Doubts(("the rows that can be read do not tell of an installed host",))
    if not memories:
        return Doubts(("no row can be read, and there is no Host Configuration to compare with",))
    verdicts = [evidence.judge(memory, look(memory)) for memory in memories]
    certain = [verdict for verdict in verdicts if isinstance(verdict, HostStatus)]
    if len(certain) == 1:
        return certain[0]
    reasons = [
        f"{memory.source}, {memory.volume}: {reason}"
        for memory, verdict in zip(memories, verdicts, strict=True)
        if isinstance(verdict, Doubts)
        for reason in verdict.reasons
    ]
    return Doubts(tuple(reasons) or ("it can be two things",))


def _rebuild(damage: Damaged, configuration: Path, look: Look) -> None:
    rows = datastore.salvage(damage.path)
    verdict = decide(rows, configuration, look)
    if isinstance(verdict, Doubts):
        raise _refused(damage, verdict, configuration) from damage
    told = _told(damage, len(rows))
    log.warning("%s", told.message)
    status = verdict.model_copy(update={"last_error": told.to_status()})
    datastore.persist(status, damage.path, rows)


def _require_understood(store: Datastore) -> None:
    """Raise Damaged when there is no row that makes sense, unless a later agent wrote it."""
    try:
        if store.latest() is None:
            raise datastore.damaged(store.path, "it holds no Host Status")
    except Damaged:
        raise
    except TridentError as error:
        rows = store.rows()
        version = _version_of(rows[-1].contents) if rows else None
        if version is not None and version > _version(agent.__version__):
            error.hint = (
                "a later agent wrote this row: use that one (it is on the side of the host that "
                "was updated last); nothing was changed"
            )
            raise
        raise datastore.damaged(store.path, error.message) from error


def _version_of(contents: str) -> tuple[int, ...] | None:
    """The agent's version in a row of whatever form; None when it does not say."""
    try:
        value = yamltext.parse(contents).value
    except yamltext.YamlError:
        return None
    found = value.get("tridentVersion") if isinstance(value, dict) else None
    return _version(found) if isinstance(found, str) else None


def _version(text: str) -> tuple[int, ...]:
    parts = text.partition("-")[0].partition("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdecimal())


def _understood(rows: tuple[Row, ...]) -> list[HostStatus]:
    found = []
    for row in rows:
        try:
            found.append(host_status.parse(row.contents))
        except TridentError:
            log.warning("row %d of the damaged datastore makes no sense", row.id)
    return found


def _configured(path: Path) -> HostConfiguration | None:
    """The operator's Host Configuration, if it can be read."""
    try:
        return load.load_file(path)
    except TridentError as error:
        log.warning("%s", error.one_line())
        return None


def _machine(root: Path, memory: Remembered) -> Machine:
    try:
        disks = partitions.discover(memory.spec.storage)
    except TridentError as error:
        log.warning("%s", error.one_line())
        disks = {}
    return Machine(
        disks,
        booted.root_number(),
        bootvars.read() if efivars.DIRECTORY.is_dir() else None,
        bool(trial.present(root)),
        architecture.running(),
    )


def _told(damage: Damaged, rows: int) -> TridentError:
    return TridentError(
        Kind.INITIALIZATION,
        "datastore-rebuilt",
        f"the datastore was damaged ({damage.why}) and was rebuilt from {rows} rows that could be "
        f"read, the disks and the firmware; the damaged one is kept as {damage.copy}; which image "
        "runs is not known any more: the next update replaces it whole, and there is nothing to "
        "roll back to",
        fields={"path": str(damage.path)},
    )


def _refused(damage: Damaged, doubts: Doubts, configuration: Path) -> Damaged:
    return Damaged(
        damage.path,
        f"{damage.why}; it is not rebuilt, because of doubts: {'; '.join(doubts.reasons)}",
        damage.copy,
        hint=f"restore it from a backup; or, when no row can be read, put the Host Configuration "
        f"that this host was installed with at {configuration} and run `trident commit`; or "
        "install the host anew; nothing was changed",
    )
