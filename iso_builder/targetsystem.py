"""Turns a tree of Debian packages into the sample operating system that Trident installs.

It is an ordinary server: netplan, SSH, the agent and its `trident.service`. Nobody can log in until
the Host Configuration makes a user.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from agent.linux import run
from iso_builder import debian
from iso_builder.rawimage import Identifiers

_UNITS = ("trident.service", "ssh-host-keys.service")
_ENABLED = ("systemd-networkd.service", "systemd-resolved.service", *_UNITS)
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dev-hugepages.mount",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-pstore.service",
)
"""Nothing in the sample uses these, and each costs start-up time."""
_WAIT_ONLINE = "etc/systemd/system/systemd-networkd-wait-online.service.d/any-link.conf"


def configure(tree: Path, variant: str, version: str, identifiers: Identifiers) -> None:
    """Write the sample system's own files into the tree."""
    release = (tree / "usr/lib/os-release").read_text()
    debian.install(tree, "usr/lib/os-release", release + marks(variant, version))
    debian.install(tree, "etc/fstab", fstab(identifiers), mode=0o644)
    debian.install(tree, "etc/hostname", "trident-sample\n")
    debian.install(tree, "etc/hosts", "127.0.0.1 localhost\n127.0.1.1 trident-sample\n")
    debian.install(tree, "etc/machine-id", "")
    debian.install(tree, "etc/netplan/50-default.yaml", _text("netplan.yaml"), mode=0o600)
    debian.install(tree, _WAIT_ONLINE, _text("any-link.conf"))
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for folder in ("boot/efi", "etc/trident", "var/lib/trident"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for name in _UNITS:
        debian.install(tree, f"etc/systemd/system/{name}", _text(name))
    for name in _MASKED:
        debian.link(tree, f"etc/systemd/system/{name}", "/dev/null")
    run.run(["systemctl", "--quiet", "enable", *_ENABLED], chroot=tree)


def marks(variant: str, version: str) -> str:
    """What tells this image from others in its os-release."""
    return (
        f'VARIANT="Trident sample ({variant})"\n'
        f"VARIANT_ID=trident-sample-{variant}\n"
        "IMAGE_ID=trident-sample\n"
        f"IMAGE_VERSION={version}\n"
    )


def fstab(identifiers: Identifiers) -> str:
    """The mounts of the image as it is; an installation rewrites them."""
    return (
        f"UUID={identifiers.root_filesystem} / ext4 errors=remount-ro 0 1\n"
        f"UUID={identifiers.esp_filesystem} /boot/efi vfat umask=0077,nofail 0 2\n"
    )


def kernel_arguments(identifiers: Identifiers) -> str:
    """The kernel command line. After a panic the machine restarts: the firmware may fall back."""
    root = f"root=UUID={identifiers.root_filesystem}"
    return f"{root} ro console=tty0 console=ttyS0,115200 panic=30 loglevel=4"


def grub_config(identifiers: Identifiers, release: str) -> str:
    """`grub.cfg` beside the signed GRUB: find the root file system, start its kernel."""
    return (
        "set timeout=0\n"
        "set default=0\n"
        f"search --no-floppy --fs-uuid --set=root {identifiers.root_filesystem}\n"
        'menuentry "Debian" {\n'
        f"    linux /boot/vmlinuz-{release} {kernel_arguments(identifiers)}\n"
        f"    initrd /boot/initrd.img-{release}\n"
        "}\n"
    )


def _text(name: str) -> str:
    return files("iso_builder").joinpath("files/target", name).read_text()
