"""A machine's hardware as a value, and the QEMU command line that makes it. Pure.

Hardware: q35, two CPUs, serial line on two FIFOs, i6300esb watchdog (reset on
expiry), random number generator. Sizes: MiB for memory, bytes for disks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lab import firmware
from lab.firmware import Firmware


class Bus(StrEnum):
    """How a disk is attached."""

    VIRTIO = "virtio"
    NVME = "nvme"
    AHCI = "ahci"
    USB = "usb"


class NicModel(StrEnum):
    """Network adapters: QEMU device names."""

    VIRTIO = "virtio-net-pci"
    E1000E = "e1000e"


class BootFirst(StrEnum):
    """Which kind of device the firmware is told to try first."""

    NETWORK = "network"
    DISK = "disk"
    MEDIUM = "medium"
    FIRMWARE = "firmware"
    """Tell it nothing: its own BootOrder holds."""


class MediumBus(StrEnum):
    """What an installation medium is put into: a drive, or a port as a stick or disk."""

    CD = "cd"
    USB = "usb"
    NVME = "nvme"
    VIRTIO = "virtio"


class Caching(StrEnum):
    """QEMU's disk cache modes: `unsafe` ignores flushes, `writeback` keeps what was flushed."""

    UNSAFE = "unsafe"
    WRITEBACK = "writeback"
    NONE = "none"


_BOOT_KINDS = (BootFirst.DISK, BootFirst.NETWORK, BootFirst.MEDIUM)
_LAST_PORT = 5
"""The AHCI port of the drive; disks take those from 0 on."""

_TRANSLATED_MIB = 64


_READ_AHEAD_BYTES = 1 << 20
"""What QEMU asks of an HTTP server at least, a multiple of 512."""
_HTTP_TIMEOUT_S = 60


@dataclass(frozen=True)
class Disk:
    """One disk: `image` is a file on the host, raw or qcow2."""

    image: Path
    serial: str
    bus: Bus = Bus.VIRTIO
    format: str = "raw"
    read_only: bool = False
    write_log: Path | None = None
    """Log every write and flush here, in order (`lab.writelog`); the file must exist."""


@dataclass(frozen=True)
class Medium:
    """An installation medium: `image` is an ISO file on the host, or its URL; it is only read."""

    image: Path | str
    bus: MediumBus = MediumBus.CD


@dataclass(frozen=True)
class Nic:
    """One network adapter, plugged into a tap of the rack."""

    mac: str
    tap: str
    model: NicModel = NicModel.VIRTIO


@dataclass(frozen=True)
class DirectKernel:
    """Start this kernel without any boot loader (toolbox only)."""

    kernel: Path
    initrd: Path
    command_line: str


@dataclass(frozen=True)
class Hardware:
    """Everything QEMU is told about a machine, but where its sockets are."""

    name: str
    uuid: str
    firmware: Firmware = Firmware.UEFI
    memory_mib: int = 2048
    cpus: int = 2
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    medium: Medium | None = None
    boot_first: BootFirst = BootFirst.NETWORK
    netboot_http: bool = False
    """UEFI boots from the network by HTTP boot only, not by PXE."""
    caching: Caching = Caching.UNSAFE
    direct_kernel: DirectKernel | None = None


@dataclass(frozen=True)
class Wiring:
    """The host side of a machine: its NVRAM, serial line and control socket."""

    nvram: Path
    serial_pipes: Path
    """Path of the two FIFOs, without `.in` and `.out`."""
    qmp_socket: Path
    tpm_arguments: tuple[str, ...] = field(default=())


def command_line(hardware: Hardware, wiring: Wiring, accelerator: str) -> list[str]:
    """The whole QEMU command line. Resets restart the guest: there is no `-no-reboot`."""
    return [
        "qemu-system-x86_64",
        "-name", hardware.name,
        "-machine", firmware.machine_type(hardware.firmware),
        "-accel", _accelerator(accelerator),
        "-cpu", "host" if accelerator == "kvm" else "max",
        "-smp", str(hardware.cpus),
        "-m", str(hardware.memory_mib),
        "-uuid", hardware.uuid,
        "-nodefaults", "-display", "none", "-vga", "none",
        "-rtc", "base=utc",
        "-fw_cfg", "name=opt/org.tianocore/IPv6Support,string=n",
        *_http_only(hardware),
        *firmware.qemu_arguments(hardware.firmware, wiring.nvram),
        "-chardev", f"pipe,id=serial0,path={wiring.serial_pipes}",
        "-serial", "chardev:serial0",
        "-qmp", f"unix:{wiring.qmp_socket},server=on,wait=off",
        "-device", "virtio-rng-pci",
        "-device", "i6300esb", "-action", "watchdog=reset",
        *wiring.tpm_arguments,
        *_usb(hardware),
        *_disks(hardware),
        *_medium(hardware),
        *_nics(hardware),
        *_direct_kernel(hardware.direct_kernel),
    ]  # fmt: skip


def _accelerator(name: str) -> str:
    """Emulation keeps little translated code.

    What a lot of it leaves of the last kernel, in pages that the firmware writes to after a reset,
    makes each such write walk all of the page's code: the firmware crawls for a minute.
    """
    return name if name == "kvm" else f"{name},tb-size={_TRANSLATED_MIB}"


def _http_only(hardware: Hardware) -> list[str]:
    name = "name=opt/org.tianocore/IPv4PXESupport,string=n"
    return ["-fw_cfg", name] if hardware.netboot_http else []


def _usb(hardware: Hardware) -> list[str]:
    stick = hardware.medium is not None and hardware.medium.bus is MediumBus.USB
    needed = stick or any(disk.bus is Bus.USB for disk in hardware.disks)
    return ["-device", "qemu-xhci,id=xhci"] if needed else []


def _disks(hardware: Hardware) -> list[str]:
    arguments: list[str] = []
    for number, disk in enumerate(hardware.disks):
        index = _boot_index(hardware, BootFirst.DISK, number)
        arguments += [
            "-drive",
            f"if=none,id=disk{number},cache={hardware.caching},discard=unmap,"
            f"readonly={'on' if disk.read_only else 'off'},{_image(disk)}",
            "-device", _disk_device(disk, number) + index,
        ]  # fmt: skip
    return arguments


def _image(disk: Disk) -> str:
    if disk.write_log is None:
        return f"format={disk.format},file={disk.image}"
    return (
        f"driver=blklogwrites,file.driver={disk.format},file.file.driver=file,"
        f"file.file.filename={disk.image},file.discard=unmap,"
        f"log.driver=file,log.filename={disk.write_log}"
    )


def _disk_device(disk: Disk, number: int) -> str:
    drive = f"drive=disk{number},serial={disk.serial}"
    match disk.bus:
        case Bus.VIRTIO:
            return f"virtio-blk-pci,{drive}"
        case Bus.NVME:
            return f"nvme,{drive}"
        case Bus.AHCI:
            return f"ide-hd,bus=ide.{number},{drive}"
        case Bus.USB:
            return f"usb-storage,bus=xhci.0,{drive}"


def _medium(hardware: Hardware) -> list[str]:
    medium = hardware.medium
    if medium is None:
        return []
    kind = "media=cdrom" if medium.bus is MediumBus.CD else "media=disk"
    return [
        "-drive", f"if=none,id=medium,{kind},format=raw,readonly=on,{_medium_file(medium)}",
        "-device", _medium_device(medium) + _boot_index(hardware, BootFirst.MEDIUM, 0),
    ]  # fmt: skip


def _medium_file(medium: Medium) -> str:
    if isinstance(medium.image, Path):
        return f"file={medium.image}"
    return (
        f"file.driver=http,file.url={medium.image},"
        f"file.readahead={_READ_AHEAD_BYTES},file.timeout={_HTTP_TIMEOUT_S}"
    )


def _medium_device(medium: Medium) -> str:
    match medium.bus:
        case MediumBus.CD:
            return f"ide-cd,bus=ide.{_LAST_PORT},drive=medium"
        case MediumBus.USB:
            return "usb-storage,bus=xhci.0,drive=medium,serial=MEDIUM"
        case MediumBus.NVME:
            return "nvme,drive=medium,serial=MEDIUM"
        case MediumBus.VIRTIO:
            return "virtio-blk-pci,drive=medium,serial=MEDIUM"


def netdev(number: int) -> str:
    """What QEMU calls the link of a network adapter."""
    return f"net{number}"


def _nics(hardware: Hardware) -> list[str]:
    arguments: list[str] = []
    for number, nic in enumerate(hardware.nics):
        device = f"{nic.model},netdev={netdev(number)},mac={nic.mac}"
        if hardware.firmware is not Firmware.BIOS and nic.model is NicModel.VIRTIO:
            device += ",romfile="  # OVMF drives virtio itself; QEMU's iPXE would take over
        arguments += [
            "-netdev", f"tap,id={netdev(number)},ifname={nic.tap},script=no,downscript=no",
            "-device", device + _boot_index(hardware, BootFirst.NETWORK, number),
        ]  # fmt: skip
    return arguments


def _boot_index(hardware: Hardware, kind: BootFirst, number: int) -> str:
    if hardware.boot_first is BootFirst.FIRMWARE:
        return ""
    others = [one for one in _BOOT_KINDS if one is not hardware.boot_first]
    behind = 0 if hardware.boot_first is kind else 100 * (1 + others.index(kind))
    return f",bootindex={1 + behind + number}"


def _direct_kernel(direct: DirectKernel | None) -> list[str]:
    if direct is None:
        return []
    return [
        "-kernel", str(direct.kernel),
        "-initrd", str(direct.initrd),
        "-append", direct.command_line,
    ]  # fmt: skip
