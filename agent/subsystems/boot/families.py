"""What differs between operating system families in how their images boot. Pure.

The one place for such differences. Azure Linux ships a GRUB without a built-in prefix, which reads
grub.cfg beside itself. Debian's signed GRUB has the prefix /EFI/debian; only when that directory
and /boot/grub are absent from the boot device does it read grub.cfg beside itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture
from agent.cosi.metadata import BootloaderType, CosiMetadata
from agent.linux.initrd import Tool
from agent.subsystems.boot import names


@dataclass(frozen=True)
class Family:
    """Where an image keeps its boot files on its ESP, first match first.

    `{arch}` stands for `x64` or `aa64`. An empty `grub_config` means there is none to copy.
    """

    name: str
    first_stage: tuple[str, ...]
    second_stage: tuple[str, ...]
    grub_config: tuple[str, ...]
    shadowing: tuple[str, ...] = ()
    """Directories on the target ESP that make this GRUB ignore the grub.cfg beside it."""
    second_stage_required: bool = True
    own_config: str = ""
    """grub.cfg in the root file system, which an update of the kernel writes anew."""
    defaults: str = ""
    """Where the root file system keeps what the arguments of such kernels are."""
    initrd_tools: tuple[Tool, ...] = ()
    """What makes the initrds in /boot, first match first; none for a UKI, which holds its own."""

    def first_stages(self, architecture: Architecture) -> tuple[str, ...]:
        """Candidates for the program that the firmware starts."""
        return tuple(_named(path, architecture) for path in self.first_stage)

    def second_stages(self, architecture: Architecture) -> tuple[str, ...]:
        """Candidates for the program that is started by the first."""
        return tuple(_named(path, architecture) for path in self.second_stage)


_DRACUT_INPUTS = ("etc/dracut.conf", "etc/dracut.conf.d", "etc/modules-load.d", "usr/lib/dracut")
_DRACUT = Tool(
    "dracut",
    ("--force", "--regenerate-all", "--zstd"),
    debug=("--debug", "-L", "6"),
    inputs=_DRACUT_INPUTS,
)
_INITRAMFS_TOOLS = Tool(
    "update-initramfs",
    ("-u", "-k", "all"),
    debug=("-v",),
    inputs=("etc/cryptsetup-initramfs", "etc/initramfs-tools", "usr/share/initramfs-tools"),
)
AZURE_LINUX = Family(
    name="Azure Linux with GRUB",
    first_stage=("EFI/BOOT/boot{arch}.efi",),
    second_stage=("EFI/BOOT/grub{arch}-noprefix.efi",),
    grub_config=("EFI/BOOT/grub.cfg", "boot/grub2/grub.cfg"),
    own_config="boot/grub2/grub.cfg",
    defaults="etc/default/grub",
    initrd_tools=(Tool("mkinitrd", inputs=_DRACUT_INPUTS), _DRACUT),
)
DEBIAN = Family(
    name="Debian with GRUB",
    first_stage=("EFI/BOOT/boot{arch}.efi", "EFI/debian/shim{arch}.efi"),
    second_stage=("EFI/BOOT/grub{arch}.efi", "EFI/debian/grub{arch}.efi"),
    grub_config=("EFI/BOOT/grub.cfg", "boot/grub/grub.cfg", "EFI/debian/grub.cfg"),
    shadowing=("EFI/debian", "boot/grub", ".disk"),
    own_config="boot/grub/grub.cfg",
    defaults="etc/default/grub.d/50-trident.cfg",
    initrd_tools=(_INITRAMFS_TOOLS, _DRACUT),
)
SYSTEMD_BOOT = Family(
    name="systemd-boot",
    first_stage=("EFI/BOOT/boot{arch}.efi", "EFI/systemd/systemd-boot{arch}.efi"),
    second_stage=("EFI/BOOT/grub{arch}.efi",),
    grub_config=(),
    second_stage_required=False,
)
GRUB_FAMILIES = (AZURE_LINUX, DEBIAN)
_GRUB_FAMILIES = {
    "azurelinux": AZURE_LINUX,
    "mariner": AZURE_LINUX,
    "debian": DEBIAN,
}


def of_image(metadata: CosiMetadata) -> Family:
    """The family of an image. Raises unsupported-configuration for a GRUB image of another OS."""
    loader = metadata.bootloader
    if loader is not None and loader.type is BootloaderType.SYSTEMD_BOOT:
        return SYSTEMD_BOOT
    family = _GRUB_FAMILIES.get(metadata.os_id)
    if family is None:
        raise TridentError(
            Kind.UNSUPPORTED_CONFIGURATION,
            "unsupported-boot-loader",
            f"images of '{metadata.os_id}' that boot by GRUB are not supported",
            hint=f"use an image with systemd-boot and a UKI, or one of: "
            f"{', '.join(sorted(_GRUB_FAMILIES))}",
            fields={"osId": metadata.os_id},
        )
    return family


def _named(path: str, architecture: Architecture) -> str:
    return path.format(arch=names.suffix(architecture))
