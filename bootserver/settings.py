"""The boot server's settings: one YAML file, parsed into frozen models.

Keys are camelCase, unknown keys are refused, relative paths are relative to the file. Reads the
settings file and nothing else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from bootserver.documents import parse_model

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_MAC_PREFIX = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){0,5}")
_ARGUMENT = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class Model(BaseModel):
    """Base of the settings' models: frozen, unknown keys refused, camelCase keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


def normalize_mac(text: str) -> str:
    """Lower case with colons; also reads `52-54-00-...`. Raises ValueError."""
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ValueError("expected a MAC address such as 52:54:00:12:34:56")
    return mac


def _mac_prefix(text: str) -> str:
    prefix = text.strip().lower().replace("-", ":").rstrip(":")
    if not _MAC_PREFIX.fullmatch(prefix):
        raise ValueError("expected the first bytes of a MAC address, such as 52:54:00")
    return prefix


def _kernel_argument(text: str) -> str:
    if not _ARGUMENT.fullmatch(text):
        raise ValueError("a kernel argument is one word of printable ASCII")
    return text


def _host_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a host name has letters, digits, dots and dashes")
    return text


Mac = Annotated[str, AfterValidator(normalize_mac)]
MacPrefix = Annotated[str, AfterValidator(_mac_prefix)]
KernelArgument = Annotated[str, AfterValidator(_kernel_argument)]
HostName = Annotated[str, AfterValidator(_host_name)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Loader(StrEnum):
    """What UEFI machines load first: iPXE, or the signed shim and GRUB (Secure Boot)."""

    IPXE = "ipxe"
    SHIM = "shim"


class BootOptions(Model):
    """What defaults, groups and hosts can set: the more specific wins, kernel arguments add up."""

    loader: Loader | None = None
    kernel_arguments: tuple[KernelArgument, ...] = ()
    config: Path | None = None
    """Path of a Host Configuration."""
    host_configuration: dict[str, JsonValue] | None = None
    """A Host Configuration written in place."""

    @model_validator(mode="after")
    def _one_configuration(self) -> Self:
        if self.config is not None and self.host_configuration is not None:
            raise ValueError("give either config or hostConfiguration, not both")
        return self


OptionsT = TypeVar("OptionsT", bound=BootOptions)


class Match(Model):
    """Which machines a group holds: all given keys must match."""

    mac: MacPrefix | None = None
    serial: str | None = None
    """Serial number of the machine; `*` and `?` are wildcards."""
    architecture: str | None = Field(default=None, pattern="^(x86_64|arm64|bios)$")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.mac is None and self.serial is None and self.architecture is None:
            raise ValueError("a group matches by mac, serial or architecture")
        return self

    def holds(self, mac: str, serial: str | None, architecture: str | None) -> bool:
        """Whether a machine belongs to the group. What is not known of it does not match."""
        if self.mac is not None and not (mac == self.mac or mac.startswith(self.mac + ":")):
            return False
        if self.serial is not None and not (serial and fnmatchcase(serial, self.serial)):
            return False
        return self.architecture is None or architecture == self.architecture


class Group(BootOptions):
    """Options shared by the machines that match."""

    match: Match


class Defaults(BootOptions):
    """Options of every machine."""

    loader: Loader = Loader.IPXE
    kernel_arguments: tuple[KernelArgument, ...] = ("console=tty0", "console=ttyS0,115200n8")


class HttpSettings(Model):
    """The HTTP server. `workers` processes of `threads` threads serve one connection a thread."""

    port: Port = 8080
    bind: tuple[IPv4Address, ...] = ()
    """Addresses to listen on; the server's own address when empty."""
    workers: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=128, ge=1, le=1024)


class DhcpMode(StrEnum):
    """Full server, boot information beside another server, or none."""

    SERVER = "server"
    PROXY = "proxy"
    OFF = "off"


class SubnetSettings(Model):
    """One subnet of the DHCP server. `range` is inclusive."""

    network: IPv4Network
    range: tuple[IPv4Address, IPv4Address]
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    domain: HostName | None = None
    lease_seconds: int = Field(default=3600, ge=60)

    @model_validator(mode="after")
    def _range_inside(self) -> Self:
        first, last = self.range
        if first not in self.network or last not in self.network:
            raise ValueError(f"the range must lie inside {self.network}")
        if first > last:
            raise ValueError("the range's first address must not be above its last")
        return self


class DhcpSettings(Model):
    """The DHCP service."""

    mode: DhcpMode = DhcpMode.SERVER
    port: Port = 67
    pxe_port: Port = 4011
    """Where proxyDHCP answers boot server requests."""
    client_port: Port = 68
    subnets: tuple[SubnetSettings, ...] = ()

    @model_validator(mode="after")
    def _server_needs_subnets(self) -> Self:
        if self.mode is DhcpMode.SERVER and not self.subnets:
            raise ValueError("mode server needs at least one subnet; or set mode to proxy or off")
        return self


class TftpSettings(Model):
    """The TFTP service and its limits on concurrent transfers."""

    port: Port = 69
    max_transfers: int = Field(default=1024, ge=1)
    max_transfers_per_client: int = Field(default=16, ge=1)
    max_block_size: int = Field(default=1468, ge=8, le=65464)
    max_window_size: int = Field(default=64, ge=1, le=65535)


class DnsSettings(Model):
    """The DNS service: names of the declared hosts under `domain`."""

    enabled: bool = False
    port: Port = 53
    domain: HostName = "lan"


class Settings(Model):
    """Everything the boot server is told."""

    interface: str | None = None
    """Network interface of DHCP; needed unless DHCP is off."""
    address: IPv4Address
    """The server's address as the machines see it."""
    http: HttpSettings = HttpSettings()
    artifacts: Path
    """Folder of the servicing image set."""
    files: Path
    """Folder served under `/files/`."""
    medium: Path | None = None
    """Installation medium of `trident-iso iso` that `/iso/<mac>.iso` is made of."""
    state: Path
    """Folder of the database; it must be writable by `user`."""
    hosts: tuple[Path, ...] = ()
    """YAML files of host declarations, or folders of such files."""
    dhcp: DhcpSettings
    tftp: TftpSettings = TftpSettings()
    dns: DnsSettings = DnsSettings()
    defaults: Defaults = Defaults()
    groups: tuple[Group, ...] = ()
    user: str | None = None
    """User to become after start, when started as root."""

    @model_validator(mode="after")
    def _dhcp_needs_interface(self) -> Self:
        if self.dhcp.mode is not DhcpMode.OFF and self.interface is None:
            raise ValueError("interface must be set unless dhcp.mode is off")
        return self

    @property
    def authority(self) -> str:
        """`host:port` of the HTTP server."""
        return f"{self.address}:{self.http.port}"

    @property
    def base_url(self) -> str:
        """URL of the HTTP server, without a slash at the end."""
        return f"http://{self.authority}"

    @property
    def listen_addresses(self) -> tuple[IPv4Address, ...]:
        """Addresses the HTTP server listens on."""
        return self.http.bind or (self.address,)


def load(path: Path) -> Settings:
    """Read the settings file. Raises invalid-boot-server-settings, read-input-file."""
    settings = parse_model(path, Settings, "invalid-boot-server-settings")
    folder = path.resolve().parent
    return settings.model_copy(
        update={
            "artifacts": folder / settings.artifacts,
            "files": folder / settings.files,
            "medium": folder / settings.medium if settings.medium else None,
            "state": folder / settings.state,
            "hosts": tuple(folder / entry for entry in settings.hosts),
            "defaults": _anchored(settings.defaults, folder),
            "groups": tuple(_anchored(group, folder) for group in settings.groups),
        }
    )


def _anchored(options: OptionsT, folder: Path) -> OptionsT:
    if options.config is None:
        return options
    return options.model_copy(update={"config": folder / options.config})
