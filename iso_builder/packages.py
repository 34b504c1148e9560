"""Which Debian packages the images are made of."""

from __future__ import annotations

from enum import StrEnum

from iso_builder import modules
from iso_builder.debian import Recipe, Variant

SUITE = "bookworm"
PYTHON = "3.11"
"""Python of SUITE: wheels are chosen for it."""
NEWER_SUITE = "trixie"
"""Where iPXE 1.21, systemd-boot 257 and its UKI stub come from; unpacked, never installed."""

_LEFT_OUT = (
    *(f"/usr/share/{name}/*" for name in ("man", "locale", "doc", "info", "lintian", "bug")),
    "/usr/lib/udev/hwdb.d/*",
    # 31 MB that only xfs_scrub uses
    "/usr/lib/x86_64-linux-gnu/libicudata.so*",
    "/usr/sbin/xfs_scrub*",
)
"""dpkg patterns: documents, and files that are large and of no use here."""


class KernelFlavour(StrEnum):
    """`generic` has all drivers; `cloud` only those of virtual machines, and starts faster."""

    GENERIC = "generic"
    CLOUD = "cloud"

    @property
    def package(self) -> str:
        return "linux-image-amd64" if self is KernelFlavour.GENERIC else "linux-image-cloud-amd64"


_LIVE = (
    "busybox-static ca-certificates cryptsetup-bin curl dbus dosfstools e2fsprogs efibootmgr efivar"
    " eject fdisk gdisk iproute2 kmod libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0"
    " libtss2-tcti-device0 login lsof mdadm netbase netplan.io ntfs-3g passwd pciutils procps"
    " python3 systemd-sysv tpm2-tools udev xfsprogs zstd"
)
_TARGET = (
    "busybox ca-certificates cryptsetup-bin curl dbus dosfstools e2fsprogs efibootmgr efivar fdisk"
    " gdisk initramfs-tools iproute2 iputils-ping kmod less libtss2-esys-3.0.2-0 libtss2-mu0"
    " libtss2-rc0 libtss2-tcti-device0 login lsof mdadm netbase netplan.io openssh-server passwd"
    " procps python3 sudo systemd-resolved systemd-sysv tpm2-tools udev xfsprogs zstd"
)
_SELINUX = ("policycoreutils", "selinux-policy-default")

_INITRAMFS_HOOK = """#!/bin/sh
# Drivers of the usual disks in the initrd; udev loads the ones a machine needs.
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules {modules}
"""


def live(firmware: tuple[str, ...], include: tuple[str, ...]) -> Recipe:
    """The live system without its kernel; `firmware` packages may be non-free."""
    components = ("main", "non-free-firmware") if firmware else ("main",)
    names = (*_LIVE.split(), *firmware, *include)
    return Recipe(SUITE, Variant.ESSENTIAL, names, components, leave_out=_LEFT_OUT)


def kernel(flavour: KernelFlavour) -> Recipe:
    """A kernel with all its modules, unpacked only: no initrd is made."""
    return Recipe(SUITE, Variant.EXTRACT, (flavour.package,))


def signed_loaders() -> Recipe:
    """The signed shim and the signed GRUBs of SUITE."""
    return Recipe(SUITE, Variant.EXTRACT, ("grub-efi-amd64-signed", "shim-signed"))


def newer_loaders() -> Recipe:
    """iPXE, systemd-boot and the UKI stub of NEWER_SUITE."""
    return Recipe(NEWER_SUITE, Variant.EXTRACT, ("ipxe", "systemd-boot-efi"))


def bios_loaders() -> Recipe:
    """isolinux of SUITE, its modules and its code for the MBR of hybrid media."""
    return Recipe(SUITE, Variant.EXTRACT, ("isolinux", "syslinux-common"))


def target(*, selinux: bool = False) -> Recipe:
    """The sample target system: bootable, updatable by apt, its initrd made by initramfs-tools.

    With `selinux`, it has a policy; whether that is used is for its configuration to say.
    """
    drivers = " ".join(modules.TARGET_INITRD)
    more = _SELINUX if selinux else ()
    return Recipe(
        SUITE,
        Variant.APT,
        (*_TARGET.split(), KernelFlavour.GENERIC.package, *more),
        leave_out=(*_LEFT_OUT, *modules.TARGET_LEFT_OUT),
        seed=(
            ("/etc/initramfs-tools/conf.d/trident", "MODULES=list\nCOMPRESS=zstd\n"),
            ("/etc/initramfs-tools/hooks/trident", _INITRAMFS_HOOK.format(modules=drivers)),
        ),
    )
