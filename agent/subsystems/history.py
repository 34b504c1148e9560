"""Keeps the log of the run in the target, beside its datastore."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agent.api.status import ServicingState, ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files
from agent.reporting.logs import FULL_LOG, METRICS_LOG

log = logging.getLogger(__name__)

_STAGED = {
    ServicingType.CLEAN_INSTALL: (Phase.CONFIGURE, ServicingState.CLEAN_INSTALL_STAGED),
    ServicingType.AB_UPDATE: (Phase.CONFIGURE, ServicingState.AB_UPDATE_STAGED),
    ServicingType.RUNTIME_UPDATE: (Phase.PREPARE, ServicingState.RUNTIME_UPDATE_STAGED),
}
_FINALIZED = {
    ServicingType.CLEAN_INSTALL: ServicingState.CLEAN_INSTALL_FINALIZED,
    ServicingType.AB_UPDATE: ServicingState.AB_UPDATE_FINALIZED,
    ServicingType.RUNTIME_UPDATE: ServicingState.PROVISIONED,
    ServicingType.MANUAL_ROLLBACK_AB: ServicingState.MANUAL_ROLLBACK_AB_FINALIZED,
    ServicingType.MANUAL_ROLLBACK_RUNTIME: ServicingState.PROVISIONED,
}


class History:
    """Copies the log files at the end of stage and of finalize. It costs no operation to fail.

    `log_directory` None: there are none.
    """

    name = "history"

    def __init__(self, log_directory: Path | None) -> None:
        self._directory = log_directory

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the servicing host."""

    def stage(self, context: Context) -> Sequence[Step]:
        if context.servicing not in _STAGED:
            return ()
        phase, state = _STAGED[context.servicing]
        return self._copying(context, phase, "staged", state)

    def finalize(self, context: Context) -> Sequence[Step]:
        return self._copying(context, Phase.FINALIZE, "logs", _FINALIZED[context.servicing])

    def _copying(
        self, context: Context, phase: Phase, act: str, state: ServicingState
    ) -> Sequence[Step]:
        if self._directory is None:
            return ()
        target = Path(context.configuration.trident.datastore_path).parent
        return (
            Step(
                f"history/{act}",
                phase,
                "keeping the logs in the target",
                partial(_copy, self._directory, target, state),
                (Effect(Verb.WRITE, f"{target}/trident-*"),),
            ),
        )


def names(state: ServicingState, now: datetime) -> tuple[str, str]:
    """What the copies of log and metrics are called: upstream's names. Pure."""
    camel = "".join(word.capitalize() for word in state.value.split("-"))
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"trident-{camel}-{stamp}.log", f"trident-metrics-{camel}-{stamp}.jsonl"


def _copy(source: Path, target: Path, state: ServicingState, context: Context) -> None:
    log_name, metrics_name = names(state, datetime.now(UTC))
    directory = files.inside(context.newroot, target)
    for name, kept in ((FULL_LOG.name, log_name), (METRICS_LOG.name, metrics_name)):
        if not (source / name).exists():
            continue
        try:
            directory.mkdir(parents=True, exist_ok=True)
            files.copy(source / name, directory / kept, mode=0o600)
        except OSError as error:
            log.warning("%s could not be kept as %s: %s", name, target / kept, error.strerror)
