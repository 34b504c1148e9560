"""Internal parameters of a type that makes them count as absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from agent.api.hostconfig import InternalParams
from agent.check.findings import Finding, Severity


@dataclass(frozen=True)
class _Form:
    """What a parameter's value must look like."""

    words: str
    fits: Callable[[JsonValue], bool]


_FLAG: Final = _Form("true or false", lambda value: isinstance(value, bool))
_COUNT: Final = _Form(
    "a whole number from 0",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
)
_PATHS: Final = _Form(
    "a mapping from device ids to paths",
    lambda value: isinstance(value, dict) and all(isinstance(p, str) for p in value.values()),
)
_FLAGS: Final = (
    "allowHostConfigStorageChange",
    "allowUnusedFilesystems",
    "disableFsBlockDeviceSizeCheck",
    "disableGrubNoprefixCheck",
    "disableHostnameCarryOver",
    "disableMediaEjection",
    "dracutDebug",
    "forceAbUpdate",
    "harpoon",
    "noCloseEncryptedVolumes",
    "noTransition",
    "preRebootChecks",
    "reencryptOnCleanInstall",
    "relaxedCosiValidation",
    "selfUpgradeTrident",
    "uki",
    "virtdeployBootOrderWorkaround",
    "waitForSystemdNetworkd",
    "writableEtcOverlayHooks",
)
_COUNTS: Final = (
    "commitDeadlineSeconds",
    "httpConnectionTimeoutSeconds",
    "orchestratorConnectionTimeoutSeconds",
    "streamSlowSpeedReportingIntervalSeconds",
    "streamSlowSpeedReportingThresholdMbps",
)
FORMS: Final[dict[str, _Form]] = (
    dict.fromkeys(_FLAGS, _FLAG) | dict.fromkeys(_COUNTS, _COUNT) | {"veritySignaturePaths": _PATHS}
)
"""The parameters that mean something; others pass unchecked."""


def check(params: InternalParams) -> Iterator[Finding]:
    """Warnings only: the operation goes on with the parameter's default."""
    for name, value in params.root.items():
        form = FORMS.get(name)
        if form is not None and not form.fits(value):
            yield Finding(
                "invalid-internal-parameter",
                f"the parameter is ignored: expected {form.words}",
                ("internalParams", name),
                severity=Severity.WARNING,
            )
