"""The `os` and `managementOs` sections of the Host Configuration."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Discriminator, Field, JsonValue

from agent.api.model import CONTRACT, HostPath, Model, Sha384, Url


class NetplanRenderer(StrEnum):
    NETWORKD = "networkd"
    NETWORK_MANAGER = "NetworkManager"
    SRIOV = "sriov"


NetplanDevices = Mapping[str, Mapping[str, JsonValue]]
"""Definitions of one kind of device, by netplan id."""


class Netplan(Model):
    """A netplan v2 body. Only what the agent's rules look at is typed; the rest passes through."""

    model_config = CONTRACT | ConfigDict(extra="allow")

    version: int
    """Always 2."""
    renderer: NetplanRenderer | None = None
    """`networkd` by default."""
    ethernets: NetplanDevices | None = None
    """Wired interfaces."""
    bridges: NetplanDevices | None = None
    """Bridges."""
    bonds: NetplanDevices | None = None
    """Bonded interfaces."""
    vlans: NetplanDevices | None = None
    """VLAN interfaces."""
    wifis: NetplanDevices | None = None
    """Wireless interfaces."""
    tunnels: NetplanDevices | None = None
    """Tunnels."""
    dummy_devices: NetplanDevices | None = Field(default=None, alias="dummy-devices")
    """Interfaces without a network."""
    vrfs: NetplanDevices | None = None
    """Virtual routing domains."""

    @property
    def device_ids(self) -> tuple[tuple[str, str], ...]:
        """Pairs of section key and netplan id, in the order of the sections above."""
        return tuple(
            (field.alias or name, device_id)
            for name, field in type(self).model_fields.items()
            if name not in ("version", "renderer")
            for device_id in getattr(self, name) or ()
        )


class SelinuxMode(StrEnum):
    DISABLED = "disabled"
    PERMISSIVE = "permissive"
    ENFORCING = "enforcing"


class Selinux(Model):
    mode: SelinuxMode | None = None
    """Mode of the target; what the image says by default."""


class LockedPassword(Model):
    type: Literal["locked"] = "locked"
    """The user cannot log in by password."""


class PlainTextPassword(Model):
    type: Literal["dangerous-plain-text"]
    """The document holds the password itself."""
    value: str = Field(repr=False)
    """The password."""


class HashedPassword(Model):
    type: Literal["dangerous-hashed"]
    """The document holds the password's hash."""
    value: str = Field(repr=False)
    """The hash, as in /etc/shadow."""


Password = Annotated[LockedPassword | PlainTextPassword | HashedPassword, Discriminator("type")]


class SshMode(StrEnum):
    BLOCK = "block"
    KEY_ONLY = "key-only"
    DANGEROUS_ALLOW_PASSWORD = "dangerous-allow-password"


class User(Model):
    name: str
    """Login name."""
    password: Password = LockedPassword.model_construct()
    """Locked by default."""
    uid: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] | None = None
    """Number; the next free one by default."""
    primary_group: str | None = None
    """By default a group with the name of the user."""
    secondary_groups: tuple[str, ...] = ()
    """Groups besides the primary one."""
    ssh_public_keys: tuple[str, ...] = ()
    """Lines of authorized_keys."""
    ssh_mode: SshMode = SshMode.BLOCK
    """Whether the user can log in by SSH."""
    dangerous_password_expires_days: Annotated[int, Field(ge=0)] | None = None
    """Days after which the password must be changed."""
    startup_command: str | None = None
    """Login shell."""
    home_directory: str | None = None
    """Path of the home directory."""


class AdditionalFile(Model):
    """A file to write into the target: its content inline or read from `source`."""

    destination: HostPath
    """Path in the target."""
    content: str | None = None
    """Text of the file."""
    source: HostPath | None = None
    """File on the servicing OS to copy."""
    permissions: str | None = None
    """Octal text with a leading 0, such as `0644`."""


class LoadMode(StrEnum):
    ALWAYS = "always"
    AUTO = "auto"
    DISABLE = "disable"
    INHERIT = "inherit"


class Module(Model):
    name: str
    """The module's name."""
    load_mode: LoadMode = LoadMode.INHERIT
    """Load at boot, on demand, not by itself, or as the image says."""
    options: Mapping[str, str] = {}
    """Parameters of the module."""


class Services(Model):
    enable: tuple[str, ...] = ()
    """Units to enable."""
    disable: tuple[str, ...] = ()
    """Units to disable."""


class KernelCommandLine(Model):
    extra_command_line: tuple[str, ...]
    """Arguments added to the command line."""


class Extension(Model):
    """A sysext or confext image."""

    url: Url
    """Where the image is."""
    sha384: Sha384
    """SHA-384 of the image."""
    path: HostPath | None = None
    """Where the image is put in the target."""


class UefiFallbackMode(StrEnum):
    """When the default boot file of the ESP is replaced: at commit, at finalize, or never."""

    CONSERVATIVE = "conservative"
    OPTIMISTIC = "optimistic"
    DISABLED = "disabled"


NO_EXTRA_COMMAND_LINE: Final = KernelCommandLine.model_construct(extra_command_line=())


class Os(Model):
    netplan: Netplan | None = None
    """Network configuration of the target."""
    selinux: Selinux = Selinux.model_construct()
    """Mandatory access control."""
    users: tuple[User, ...] = ()
    """Users to create or change."""
    additional_files: tuple[AdditionalFile, ...] = ()
    """Files to write."""
    hostname: str | None = None
    """Name of the host."""
    modules: tuple[Module, ...] = ()
    """Kernel modules."""
    services: Services = Services.model_construct()
    """Units to enable and disable."""
    kernel_command_line: KernelCommandLine = NO_EXTRA_COMMAND_LINE
    """Kernel arguments."""
    sysexts: tuple[Extension, ...] = ()
    """System extension images."""
    confexts: tuple[Extension, ...] = ()
    """Configuration extension images."""
    uefi_fallback: UefiFallbackMode = UefiFallbackMode.CONSERVATIVE
    """When EFI/BOOT, which firmware falls back to, follows the new OS."""


class ManagementOs(Model):
    """The OS that runs the installation."""

    netplan: Netplan | None = None
    """Network configuration while installing."""
    users: tuple[User, ...] = ()
    """Users of the installation OS."""
