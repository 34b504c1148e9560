"""Keeps the log of the run in the target, beside its datastore."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agent.api.status import ServicingState
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files
from agent.reporting.logs import FULL_LOG, METRICS_LOG


class History:
    """Copies the log files at the end of finalize. `log_directory` None: there are none."""

    name = "history"

    def __init__(self, log_directory: Path | None) -> None:
        self._directory = log_directory

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the servicing host."""

    def stage(self, _: Context) -> Sequence[Step]:
        return ()

    def finalize(self, context: Context) -> Sequence[Step]:
        if self._directory is None:
            return ()
        target = Path(context.configuration.trident.datastore_path).parent
        return (
            Step(
                "history/logs",
                Phase.FINALIZE,
                "keeping the logs in the target",
                partial(_copy, self._directory, target),
                (Effect(Verb.WRITE, f"{target}/trident-*"),),
            ),
        )


def names(state: ServicingState, now: datetime) -> tuple[str, str]:
    """What the copies of log and metrics are called: upstream's names. Pure."""
    camel = "".join(word.capitalize() for word in state.value.split("-"))
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"trident-{camel}-{stamp}.log", f"trident-metrics-{camel}-{stamp}.jsonl"


def _copy(source: Path, target: Path, context: Context) -> None:
    log_name, metrics_name = names(ServicingState.CLEAN_INSTALL_FINALIZED, datetime.now(UTC))
    directory = files.inside(context.newroot, target)
    for name, kept in ((FULL_LOG.name, log_name), (METRICS_LOG.name, metrics_name)):
        if (source / name).exists():
            files.copy(source / name, directory / kept, mode=0o600)
