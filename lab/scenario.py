"""Scenario files: which machines, what is served, what is done and what must hold. Pure models.

One YAML file is one scenario; unknown keys are refused. docs/lab.md explains every key.
Sizes are MiB, times seconds, fractions 0..1, patterns Python regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from lab.errors import LabError
from lab.firmware import Firmware
from lab.model import Fraction, Limit, Model, OneOf, Pattern
from lab.qemu import BootFirst, Bus, Caching, MediumBus, NicModel

NAME = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
_MAC = re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")


class Bootloader(StrEnum):
    """Variants of the sample image."""

    GRUB = "grub"
    UKI = "uki"


class Damage(Model):
    """What is broken in the served copy of an image."""

    flip_bit_at: Fraction | None = None
    """Flip one bit at this fraction of the root file system's compressed bytes."""
    truncate_to: Fraction | None = None
    """Cut the file off at this fraction of its length."""


class Image(Model):
    """One sample OS image to build and serve; placeholders `${NAME.url}`, `${NAME.sha384}`."""

    bootloader: Bootloader = Bootloader.GRUB
    version: str = "1"
    selinux: bool = False
    """With an SELinux policy, which a Host Configuration switches on."""
    raw: Path | None = None
    """A raw GPT disk that is there already, instead of a sample."""
    randomized: bool = False
    """What `trident-iso cosi randomize-uuids` makes of it: the same files, other UUIDs."""
    damage: Damage | None = None
    served: bool = True
    """False: known to the Host Configuration, but the server answers 404."""


class ExtensionKind(StrEnum):
    """What an extension image adds to."""

    SYSEXT = "sysext"
    """/usr."""
    CONFEXT = "confext"
    """/etc."""


class Extension(Model):
    """An extension image to build and serve; placeholders `${KEY.url}`, `${KEY.sha384}`."""

    kind: ExtensionKind = ExtensionKind.SYSEXT
    name: str = Field(pattern=NAME.pattern)
    """What the image calls itself; several versions of one image share it."""
    os_id: str = "_any"
    """The operating system that it says it is for."""
    files: dict[str, str] = Field(min_length=1)
    """Path in the image, without the first slash -> text."""

    @model_validator(mode="after")
    def _files_are_inside(self) -> Extension:
        for path in self.files:
            if path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"'{path}' is no path inside the image")
        return self

    @property
    def release_path(self) -> str:
        """Where the image says what it is."""
        folder = "usr/lib" if self.kind is ExtensionKind.SYSEXT else "etc"
        return f"{folder}/extension-release.d/extension-release.{self.name}"

    @property
    def release_text(self) -> str:
        return f"ID={self.os_id}\n{self.kind.upper()}_ID={self.name}\n"


class DiskContent(StrEnum):
    """What is on a disk before the first power-on."""

    BLANK = "blank"
    OS = "os"
    """A bootable OS: the sample image `image` written to it."""


class Disk(Model):
    """A disk of a machine."""

    bus: Bus = Bus.VIRTIO
    size_mib: int = Field(default=8192, ge=64, le=65536)
    serial: str = Field(default="TRIDENT0", pattern=r"^[A-Za-z0-9]{1,20}$")
    content: DiskContent = DiskContent.BLANK
    snapshot: str | None = None
    """Start from the disk and NVRAM that an earlier `snapshot` step kept under this name."""
    log_writes: bool = False
    """Log every write and flush, for `logWrites` and `eachFlush`. Needs `snapshot`."""

    @model_validator(mode="after")
    def _log_has_a_beginning(self) -> Disk:
        if self.log_writes and self.snapshot is None:
            raise ValueError("logWrites needs a disk that starts from a snapshot")
        return self


class Netboot(StrEnum):
    """How UEFI firmware boots from the network."""

    PXE = "pxe"
    HTTP = "http"


class DeclaredBy(StrEnum):
    """How the boot server is told of a machine."""

    COMMAND = "command"
    """`hosts add`, which also looks at images on other servers."""
    FILE = "file"
    """A YAML file of hosts."""
    NOTHING = "nothing"
    """Not at all: the machine is unknown."""


class MediumConfiguration(StrEnum):
    """How the machine's Host Configuration gets to its installation medium."""

    EMBEDDED = "embedded"
    """`trident-iso iso --config`"""
    CUSTOMIZED = "customized"
    """`trident-iso customize --config`, after the medium was built"""
    FORGED = "forged"
    """The same without a signature, on a medium that is signed."""
    STICK = "stick"
    """On a USB stick labelled TRIDENT-CFG beside the medium."""
    NONE = "none"


class MediumFrom(StrEnum):
    """Where the machine's drive reads its medium."""

    FILE = "file"
    """A file on the host that is made for this machine."""
    SERVER = "server"
    """The boot server's `/iso/<mac>.iso`, over HTTP, as a service processor does."""


class Medium(Model):
    """An installation medium in a machine, made by `trident-iso iso`."""

    bus: MediumBus = Field(default=MediumBus.CD, alias="as")
    source: MediumFrom = Field(default=MediumFrom.FILE, alias="from")
    configuration: MediumConfiguration = MediumConfiguration.EMBEDDED
    """A medium of the boot server gets its configurations there; `customized` adds an argument."""
    images: tuple[str, ...] = ()
    """Embedded images; their `${NAME.url}` is then the place on the medium."""
    options: tuple[str, ...] = ()
    """More words for `trident-iso iso`."""
    signed: bool = False
    """By a key made for this run; changes are signed too."""


class Machine(Model):
    """A machine of the rack."""

    name: str = Field(default="machine", pattern=r"^[a-z0-9-]{1,20}$")
    mac: str = Field(default="52:54:00:77:00:01", pattern=_MAC.pattern)
    firmware: Firmware = Firmware.UEFI
    memory_mib: int = Field(default=2048, ge=256, le=8192)
    cpus: int = Field(default=2, ge=1, le=8)
    disks: tuple[Disk, ...] = (Disk(),)
    nic: NicModel = NicModel.VIRTIO
    nics: int = Field(default=1, ge=0, le=1)
    """0: a machine without a network adapter."""
    medium: Medium | None = None
    tpm: bool = False
    boot_first: BootFirst = BootFirst.NETWORK
    caching: Caching = Caching.UNSAFE
    netboot: Netboot = Netboot.PXE
    boot_uri: str | None = None
    """UEFI HTTP boot of this URL at the first start, as if typed into the firmware's setup."""
    declared_by: DeclaredBy = DeclaredBy.COMMAND
    host_configuration: dict[str, Any] | None = None
    """None: the default one (docs/lab.md)."""


class Mirror(Model):
    """An HTTP server of images that is not the boot server."""

    ranges: bool = True
    """Whether it answers range requests."""
    tls: bool = False
    """It speaks HTTPS only; its certificate, which nobody else knows, is `${mirror.authority}`."""


class Server(Model):
    """The boot server of the rack."""

    dhcp: str = Field(default="server", pattern="^(server|proxy)$")
    loader: str = Field(default="ipxe", pattern="^(ipxe|shim)$")
    foreign_dhcp: bool = False
    """A second DHCP server (dnsmasq) in the rack hands out the addresses."""
    mirror: Mirror | None = None
    """A second HTTP server (nginx) in the rack, with the same images under `${mirror.url}`."""
    settings: dict[str, Any] = Field(default={})
    """More settings of `trident-bootserver serve`, merged into its file."""


class Condition(Model):
    """Something to wait for on one machine; exactly one of the first five keys."""

    machine: str | None = None
    """None: the first machine."""
    state: str | None = None
    console: Pattern | None = None
    event: str | None = None
    """`source/event` of the timeline: `agent/operation-done`, counted from the last power-on."""
    progress: Fraction | None = None
    """At least this fraction of the root file system is written."""
    shell: bool | None = None
    """A root shell answers on the serial console."""
    limit_seconds: Limit = 300

    @model_validator(mode="after")
    def _one_condition(self) -> Condition:
        given = [self.state, self.console, self.event, self.progress, self.shell]
        if sum(one is not None for one in given) != 1:
            raise ValueError("exactly one of state, console, event, progress, shell must be given")
        return self


class PowerOn(Model):
    """Power on; `first` overrides what the firmware tries first."""

    machine: str | None = None
    first: BootFirst | None = None


class OnMachine(Model):
    """A step that names nothing but its machine."""

    machine: str | None = None


class GuestCommand(Model):
    """A shell command in the guest, and what must come of it."""

    machine: str | None = None
    command: str
    status: int | None = 0
    contains: Pattern | None = None
    lacks: Pattern | None = None
    limit_seconds: Limit = 120


class CutPower(Model):
    """Pull the plug, at once or when something happened."""

    machine: str | None = None
    when: Condition | None = None


class StopServer(Model):
    """Stop the boot server: SIGTERM, or SIGKILL with `kill`."""

    kill: bool = False
    when: Condition | None = None


class SetHostConfiguration(Model):
    """Store another Host Configuration for a machine; `refused` when the server must refuse."""

    machine: str | None = None
    host_configuration: dict[str, Any]
    refused: Pattern | None = None


class Snapshot(Model):
    """Keep the disks and NVRAM of a powered-off machine under a name."""

    machine: str | None = None
    name: str = Field(pattern=NAME.pattern)


class CheckDisk(Model):
    """Holds when the SHA-384 of a disk is that of before the first power-on (machine off)."""

    machine: str | None = None
    serial: str = "TRIDENT0"


class Serve(Model):
    """Put the undamaged image into the served folder (from now on, or again)."""

    image: str = "image"


class RecordCuts(Model):
    """Keep what a power cut would leave, at every console line that matches, until a condition.

    The machine is paused, its disks are frozen and its NVRAM is copied, then it goes on.
    """

    machine: str | None = None
    marker: Pattern
    """The first group, if there is one, names the cut."""
    until: Condition


class EachCut(Model):
    """For each recorded cut, with what it left on disks and in NVRAM: these steps (machine off)."""

    machine: str | None = None
    steps: tuple[Step, ...] = Field(min_length=1)
    most: int = Field(default=1000, ge=1)
    """So many are tried: one of each state found first. The others are examined only."""


class LogWrites(Model):
    """From now until a condition holds, keep what is needed to replay the logged disk's writes.

    The machine has one disk, with `logWrites`. A later step of this kind goes on with the same log.
    """

    machine: str | None = None
    until: Condition
    power_cut: bool = True
    """Pull the plug when the condition holds. Without, let no step change the NVRAM unwatched."""


class EachFlush(Model):
    """Replay the logged writes to its flushes, each a power cut just behind it (machine off)."""

    machine: str | None = None
    examine: int = Field(default=200, ge=1)
    """So many flushes, evenly spread: datastore, file systems and ESP are checked offline."""
    boot: int = Field(default=20, ge=0)
    """So many of those are booted and taken through `steps`."""
    keeps: Pattern
    """Paths on the ESP whose files must stay as they are at the first of the flushes."""
    steps: tuple[Step, ...] = Field(min_length=1)


class PressKeys(Model):
    """Type on the serial line: to a boot menu, not to the shell (`run` does that)."""

    machine: str | None = None
    keys: str = Field(min_length=1, max_length=64)


class Cable(Model):
    """Pull the network cable of a running machine, or plug it in."""

    machine: str | None = None
    plugged: bool


class Nothing(Model):
    """A step without particulars: `{}`."""


class Step(OneOf):
    """One step: exactly one key."""

    power_on: PowerOn | None = None
    power_off: OnMachine | None = None
    reset: OnMachine | None = None
    cut_power: CutPower | None = None
    wait: Condition | None = None
    press_keys: PressKeys | None = None
    cable: Cable | None = None
    run: GuestCommand | None = None
    damage: dict[str, Damage] | None = None
    stop_server: StopServer | None = None
    serve: Serve | None = None
    start_server: Nothing | None = None
    set_host_configuration: SetHostConfiguration | None = None
    reinstall: OnMachine | None = None
    snapshot: Snapshot | None = None
    disk_unchanged: CheckDisk | None = None
    network_first: OnMachine | None = None
    """Move the network entries to the front of the firmware's BootOrder (machine off)."""
    served_medium: ServedMedium | None = None
    record_cuts: RecordCuts | None = None
    each_cut: EachCut | None = None
    log_writes: LogWrites | None = None
    each_flush: EachFlush | None = None


class Text(Model):
    """Patterns that a text must contain or must not contain."""

    machine: str | None = None
    contains: tuple[Pattern, ...] = ()
    lacks: tuple[Pattern, ...] = ()


class Timeline(Model):
    """`source/event` names; `contains` in this order, other events may lie between."""

    machine: str | None = None
    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    since_power_on: bool = False
    """Only events since the last power-on count."""


class BootEntries(Model):
    """Patterns for titles in NVRAM; `first` for the entry that heads BootOrder."""

    machine: str | None = None
    contains: tuple[Pattern, ...] = ()
    lacks: tuple[Pattern, ...] = ()
    first: Pattern | None = None


class Value(Model):
    """A value in the Host Status, named by its path (`spec.storage.disks.0.id`)."""

    machine: str | None = None
    path: str
    equals: Any = None


class LastError(Model):
    """What the server holds as the machine's last error; patterns over its JSON."""

    machine: str | None = None
    contains: tuple[Pattern, ...] = ()


class Resumed(Model):
    """After the boot server was started again, reading began in the middle of the root image."""

    machine: str | None = None
    image: str = "image"


class Started(Model):
    """Patterns for the titles of the boot entries that the firmware started: these and no others.

    In this order, over the whole run, also those that gave up again. UEFI only.
    """

    machine: str | None = None
    titles: tuple[Pattern, ...]


class ServedMedium(Model):
    """What the boot server serves as the machine's medium has the SHA-384 that it announces."""

    machine: str | None = None
    installs: bool
    """Whether it must be one that installs, or one that boots the disk."""


class State(Model):
    """The machine's state at the server."""

    machine: str | None = None
    equals: str


class Expectation(OneOf):
    """One thing that must hold at the end: exactly one key."""

    state: State | None = None
    timeline: Timeline | None = None
    console: Text | None = None
    host_status: Value | None = None
    boot_entries: BootEntries | None = None
    disk_unchanged: CheckDisk | None = None
    guest: GuestCommand | None = None
    resumed: Resumed | None = None
    started: Started | None = None
    last_error: LastError | None = None


class Scenario(Model):
    """A scenario file."""

    description: str
    smoke: bool = False
    """Part of the small set that every `make test` runs."""
    limit_seconds: Limit = 900
    server: Server = Server()
    images: dict[str, Image] = Field(default={"image": Image()})
    extensions: dict[str, Extension] = Field(default={})
    machines: tuple[Machine, ...] = Field(default=(Machine(),), min_length=1)
    steps: tuple[Step, ...] = Field(min_length=1)
    expect: tuple[Expectation, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_known(self) -> Scenario:
        names = [machine.name for machine in self.machines]
        macs = [machine.mac for machine in self.machines]
        if len(set(names)) != len(names) or len(set(macs)) != len(macs):
            raise ValueError("names and mac addresses of machines must differ")
        if both := sorted(self.images.keys() & self.extensions.keys()):
            raise ValueError(f"'{both[0]}' is the name of an image and of an extension")
        embedded = {image for one in self.machines if one.medium for image in one.medium.images}
        if not embedded <= self.images.keys():
            raise ValueError(
                f"media name unknown images: {', '.join(embedded - self.images.keys())}"
            )
        made = {
            one.medium.model_copy(update={"bus": MediumBus.CD})
            for one in self.machines
            if one.medium and one.medium.source is MediumFrom.SERVER
        }
        if len(made) > 1:
            raise ValueError("media from the server are made of one: same images and options")
        for part in (*_all(self.steps), *self.expect):
            named = getattr(part.value, "machine", None)
            if named is not None and named not in names:
                raise ValueError(f"{part.verb} names the unknown machine '{named}'")
        return self


def _all(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps and the steps within them."""
    for step in steps:
        yield step
        for inner in (step.each_cut, step.each_flush):
            if inner is not None:
                yield from _all(inner.steps)


def parse(text: str) -> Scenario:
    """Parse a scenario. Raises LabError with every finding and its path."""
    try:
        return Scenario.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise LabError(f"not YAML: {error}") from error
    except ValidationError as error:
        findings = [
            f"{'.'.join(str(part) for part in one['loc']) or 'scenario'}: {one['msg']}"
            for one in error.errors()
        ]
        raise LabError("not a scenario: " + "; ".join(findings), hint="see docs/lab.md") from error


def load(path: Path) -> Scenario:
    """Read a scenario file. Raises LabError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}") from error
    try:
        return parse(text)
    except LabError as error:
        raise LabError(f"{path}: {error.message}", hint=error.hint) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of scenario files."""
    return Scenario.model_json_schema(by_alias=True)
