"""The Host Status: what the agent remembers of a host. YAML, one document.

Fields that this version does not know, in the status or in its configurations, are kept when a
status is read and written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum, StrEnum
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from agent.api import load, unknown, yamltext
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.model import CONTRACT, BlockDeviceId, HostPath, Model
from agent.api.status_migration import modernise
from agent.api.yamltext import Document, YamlError


class ServicingState(StrEnum):
    NOT_PROVISIONED = "not-provisioned"
    CLEAN_INSTALL_STAGED = "clean-install-staged"
    CLEAN_INSTALL_FINALIZED = "clean-install-finalized"
    AB_UPDATE_STAGED = "ab-update-staged"
    AB_UPDATE_FINALIZED = "ab-update-finalized"
    AB_UPDATE_HEALTH_CHECK_FAILED = "ab-update-health-check-failed"
    RUNTIME_UPDATE_STAGED = "runtime-update-staged"
    MANUAL_ROLLBACK_AB_STAGED = "manual-rollback-ab-staged"
    MANUAL_ROLLBACK_AB_FINALIZED = "manual-rollback-ab-finalized"
    MANUAL_ROLLBACK_RUNTIME_STAGED = "manual-rollback-runtime-staged"
    PROVISIONED = "provisioned"


class ServicingType(IntEnum):
    """What an operation does to a host; the first four are ordered by how much."""

    NO_ACTIVE_SERVICING = 0
    RUNTIME_UPDATE = 1
    AB_UPDATE = 2
    CLEAN_INSTALL = 3
    MANUAL_ROLLBACK_AB = 4
    MANUAL_ROLLBACK_RUNTIME = 5

    @property
    def label(self) -> str:
        """The name in documents and messages: `clean-install`."""
        return self.name.lower().replace("_", "-")

    @property
    def is_runtime(self) -> bool:
        """Whether it changes the running system, without a reboot."""
        return self in (ServicingType.RUNTIME_UPDATE, ServicingType.MANUAL_ROLLBACK_RUNTIME)

    @property
    def script_name(self) -> str:
        """The value of SERVICING_TYPE in scripts: `clean_install`; `none` when nothing is done."""
        return self.name.lower() if self else "none"


class AbVolume(StrEnum):
    """One side of every A/B volume pair."""

    A = "volume-a"
    B = "volume-b"

    @property
    def other(self) -> AbVolume:
        return AbVolume.B if self is AbVolume.A else AbVolume.A


class HostStatus(Model):
    model_config = CONTRACT | ConfigDict(extra="allow")

    spec: HostConfiguration = HostConfiguration.model_construct()
    spec_old: HostConfiguration = HostConfiguration.model_construct()
    servicing_state: ServicingState = ServicingState.NOT_PROVISIONED
    last_error: JsonValue = None
    """`TridentError.to_status()` of the last failed operation."""
    partition_paths: Mapping[BlockDeviceId, HostPath] = {}
    ab_active_volume: AbVolume | None = None
    overwritten_volume: AbVolume | None = None
    """The side that an unfinished update has begun to write: what it held is lost. Not upstream's.
    """
    attempted_spec: HostConfiguration | None = None
    """What an update that has begun, and was not staged, was to make of that side. Not upstream's.
    """
    applying: bool = False
    """A staged runtime update or rollback has begun to change the running system. Not upstream's.
    """
    disk_uuids: Mapping[BlockDeviceId, UUID] = {}
    install_index: int = Field(default=0, ge=0)
    is_management_os: bool = False
    trident_version: str | None = None


def parse(text: str | bytes) -> HostStatus:
    """Read a Host Status, also one of early releases. Raises initialization/parse-host-status."""
    try:
        return _build(yamltext.parse(text))
    except (YamlError, load.ParseError) as error:
        raise TridentError(
            Kind.INITIALIZATION, "parse-host-status", f"the Host Status cannot be read: {error}"
        ) from error


def _build(document: Document) -> HostStatus:
    """The status as it is or, if that has another shape, after migration or as a later one."""
    modern = replace(document, value=modernise(document.value))
    for candidate in (document, modern):
        with suppress(load.ParseError):
            return load.build(HostStatus, candidate)
    return load.build_leniently(HostStatus, modern)


def dump(status: HostStatus) -> str:
    """The status as YAML text."""
    dumped = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    plain = unknown.with_unknown(status, dumped)
    assert isinstance(plain, dict)
    always: dict[str, JsonValue] = {
        "spec": {},
        "servicingState": str(status.servicing_state),
        "installIndex": status.install_index,
    }
    order = [field.alias or name for name, field in HostStatus.model_fields.items()]
    merged = always | plain
    known = {key: merged[key] for key in order if key in merged}
    return yamltext.dump(known | merged)
