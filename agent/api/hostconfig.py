"""The Host Configuration: the whole document, and its sections outside `storage` and `os`.

Field order is the order of the dumped document.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self, TypeGuard

from pydantic import ConfigDict, Discriminator, Field, JsonValue, RootModel, Tag, model_validator

from agent.api.model import HostPath, Model, Sha384, Url
from agent.api.osconfig import ManagementOs, Os
from agent.api.storage import Storage

DEFAULT_DATASTORE: Final = PurePosixPath("/var/lib/trident/datastore.sqlite")
IGNORED: Final = "ignored"
DEFAULT_INTERPRETER: Final = PurePosixPath("/bin/sh")


class Trident(Model):
    """The agent itself on the target."""

    disable: bool = False
    """Leave no agent on the target: no commit at boot, no updates."""
    datastore_path: HostPath = DEFAULT_DATASTORE
    """Where the agent keeps its memory on the target; ends in `.sqlite`, not on an A/B volume."""
    phonehome: str | None = None
    """URL that gets a report when an operation starts and ends."""
    logstream: str | None = None
    """URL that gets log lines as they are written."""


class Image(Model):
    url: Url
    """Where the COSI file is: `file:`, `http:` or `https:`."""
    sha384: Literal["ignored"] | Sha384
    """SHA-384 of the image's metadata.json."""

    @property
    def expected_sha384(self) -> str | None:
        return None if self.sha384 == IGNORED else self.sha384


class ServicingTypeSelection(StrEnum):
    CLEAN_INSTALL = "clean-install"
    RUNTIME_UPDATE = "runtime-update"
    AB_UPDATE = "ab-update"
    ALL = "all"


class Script(Model):
    """A script, inline (`content`) or on the host (`path`). An empty `run_on` never runs."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["content"]}, {"required": ["path"]}]}
    )

    name: str = ""
    """Name in messages."""
    run_on: tuple[ServicingTypeSelection, ...] = ()
    """Kinds of servicing the script runs in; none by default."""
    interpreter: HostPath | None = None
    """Program that runs the script; `/bin/sh` by default."""
    content: str | None = None
    """The script itself."""
    path: HostPath | None = None
    """A script on the servicing OS; read before anything is changed."""
    arguments: tuple[str, ...] = ()
    """Arguments of the script."""
    environment_variables: Mapping[str, str] = {}
    """Added to the script's environment."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.content is None) == (self.path is None):
            raise ValueError("a script has either 'content' or 'path'")
        return self

    @property
    def effective_interpreter(self) -> PurePosixPath:
        return self.interpreter or DEFAULT_INTERPRETER


class Scripts(Model):
    pre_servicing: tuple[Script, ...] = ()
    """Run in the servicing OS before anything is changed."""
    post_provision: tuple[Script, ...] = ()
    """Run in the servicing OS when the target is written; `TARGET_ROOT` is where it is mounted."""
    post_configure: tuple[Script, ...] = ()
    """Run inside the target when it is configured."""
    pre_reboot: tuple[Script, ...] = ()
    """Run in the servicing OS before the machine is told to boot the target; not upstream's."""


class SystemdCheck(Model):
    """Healthy when all `systemd_services` are active within the timeout."""

    name: str = ""
    """Name in messages."""
    systemd_services: tuple[str, ...]
    """Units that must be active."""
    timeout_seconds: int = Field(default=30, ge=0)
    """How long to wait for them."""
    run_on: tuple[ServicingTypeSelection, ...] = ()
    """Kinds of servicing the check runs after; none by default."""


def _check_kind(value: object) -> str:
    if isinstance(value, SystemdCheck):
        return "systemd"
    return "systemd" if isinstance(value, dict) and "systemdServices" in value else "script"


Check = Annotated[
    Annotated[Script, Tag("script")] | Annotated[SystemdCheck, Tag("systemd")],
    Discriminator(_check_kind),
]


class Health(Model):
    checks: tuple[Check, ...] = ()
    """Run after the first boot of a new OS; if one fails, the OS is not committed."""


class InternalParams(RootModel[Mapping[str, JsonValue]]):
    """Free-form overrides. A badly typed value counts as absent, so its default holds."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    root: Mapping[str, JsonValue] = {}

    def flag(self, name: str) -> bool:
        return self.root.get(name) is True

    def number(self, name: str, default: int) -> int:
        """A count of seconds or the like: a whole number from 0."""
        value = self.root.get(name)
        return value if _is_count(value) else default

    @property
    def allow_unused_filesystems(self) -> bool:
        return self.flag("allowUnusedFilesystems")

    @property
    def allow_host_config_storage_change(self) -> bool:
        return self.flag("allowHostConfigStorageChange")

    @property
    def commit_deadline_seconds(self) -> int:
        """Time an updated system has to be committed, health checks not counted. Not upstream's."""
        return self.number("commitDeadlineSeconds", 900)

    @property
    def disable_fs_block_device_size_check(self) -> bool:
        return self.flag("disableFsBlockDeviceSizeCheck")

    @property
    def disable_hostname_carry_over(self) -> bool:
        return self.flag("disableHostnameCarryOver")

    @property
    def disable_media_ejection(self) -> bool:
        return self.flag("disableMediaEjection")

    @property
    def dracut_debug(self) -> bool:
        return self.flag("dracutDebug")

    @property
    def force_ab_update(self) -> bool:
        return self.flag("forceAbUpdate")

    @property
    def http_connection_timeout_seconds(self) -> int:
        return self.number("httpConnectionTimeoutSeconds", 10)

    @property
    def no_transition(self) -> bool:
        """Never reboot."""
        return self.flag("noTransition")

    @property
    def orchestrator_connection_timeout_seconds(self) -> int:
        return self.number("orchestratorConnectionTimeoutSeconds", 60)

    @property
    def pre_reboot_checks(self) -> bool:
        return self.flag("preRebootChecks")

    @property
    def relaxed_cosi_validation(self) -> bool:
        return self.flag("relaxedCosiValidation")

    @property
    def self_upgrade_trident(self) -> bool:
        return self.flag("selfUpgradeTrident")

    @property
    def stream_slow_speed_reporting_interval_seconds(self) -> int:
        return self.number("streamSlowSpeedReportingIntervalSeconds", 10)

    @property
    def stream_slow_speed_reporting_threshold_mbps(self) -> int:
        return self.number("streamSlowSpeedReportingThresholdMbps", 15)

    @property
    def uki(self) -> bool:
        return self.flag("uki")

    @property
    def verity_signature_paths(self) -> Mapping[str, str]:
        """Signature file of each verity device, by device id."""
        value = self.root.get("veritySignaturePaths")
        if not isinstance(value, dict):
            return {}
        paths = {key: path for key, path in value.items() if isinstance(path, str)}
        return paths if len(paths) == len(value) else {}

    @property
    def virtdeploy_boot_order_workaround(self) -> bool:
        return self.flag("virtdeployBootOrderWorkaround")

    @property
    def wait_for_systemd_networkd(self) -> bool:
        return self.flag("waitForSystemdNetworkd")

    @property
    def writable_etc_overlay_hooks(self) -> bool:
        return self.flag("writableEtcOverlayHooks")


def _is_count(value: JsonValue) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class HostConfiguration(Model):
    """What a host should be."""

    trident: Trident = Trident.model_construct()
    """The agent itself."""
    storage: Storage = Storage.model_construct()
    """Disks and what is on them."""
    scripts: Scripts = Scripts.model_construct()
    """Scripts that run while the host is serviced."""
    os: Os = Os.model_construct()
    """The target OS."""
    management_os: ManagementOs = ManagementOs.model_construct()
    """The OS that does the installation."""
    internal_params: InternalParams = InternalParams.model_construct({})
    """Overrides for tests and emergencies; free-form."""
    image: Image | None = None
    """The OS image."""
    health: Health = Health.model_construct()
    """Checks of a newly booted OS."""
