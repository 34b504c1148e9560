"""The sample operating system as a raw disk: ESP and root, booted by GRUB or as a UKI.

Each (variant, version) has its own identifiers: two versions can stand side by side on one disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.linux import run
from iso_builder import (
    cache,
    debian,
    kernel,
    loaders,
    packages,
    payload,
    rawimage,
    targetsystem,
    uki,
)
from iso_builder.rawimage import MIB, Geometry, Identifiers

FILE_NAME = "disk.raw"
_PROGRAMS = (payload.AGENT,)
_ESP_BYTES = 96 * MIB
_SPARE_BYTES = 128 * MIB
_COPY_TIMEOUT_S = 300.0
_SOURCE = Path(__file__).parent
_SOURCES = (
    *("osimage.py", "targetsystem.py", "rawimage.py", "uki.py", "loaders.py", "kernel.py"),
    "files/target",
)


class BootVariant(StrEnum):
    """How the sample system is started."""

    GRUB = "grub"
    """Signed shim and signed GRUB; kernel and initrd in /boot."""
    UKI = "uki"
    """systemd-boot and one unified kernel image on the ESP."""


@dataclass(frozen=True)
class Options:
    """What an operator may choose about a sample image. `root_bytes` 0 means: as needed."""

    variant: BootVariant = BootVariant.GRUB
    version: str = "1"
    root_bytes: int = 0
    selinux: bool = False
    """Holds SELinux' policy and tools; switched off until a Host Configuration sets a mode."""

    def __post_init__(self) -> None:
        if not self.version.replace(".", "").isalnum():
            raise TridentError(
                Kind.INVALID_INPUT,
                "image-version",
                f"'{self.version}' is no image version",
                hint="use letters, digits and dots, for example --version 2",
            )

    @property
    def name(self) -> str:
        kind = f"{self.variant}-selinux" if self.selinux else self.variant
        return f"trident-sample-{kind}-{self.version}"


def build(options: Options) -> Path:
    """The cached directory that holds `disk.raw`; it is finished and must not change.

    Raises not-root, missing-binary, servicing/command-failed.
    """
    inputs = {
        "options": asdict(options),
        "recipes": [
            asdict(packages.target(selinux=options.selinux)),
            asdict(packages.signed_loaders()),
            asdict(packages.newer_loaders()),
        ],
        "payload": payload.fingerprint(_PROGRAMS),
        "builder": cache.fingerprint([_SOURCE / name for name in _SOURCES]),
    }
    name = cache.key(inputs)
    return cache.obtain("os-image", name, partial(_build, options), fresh_s=debian.FRESH_S)


def export(options: Options, target: Path) -> None:
    """Build and copy the raw disk to the file `target`, holes kept."""
    source = build(options) / FILE_NAME
    unfinished = target.with_name(f".{target.name}.new")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["cp", "--sparse=always", "--reflink=auto", str(source), str(unfinished)]
    run.run(command, timeout_s=_COPY_TIMEOUT_S)
    unfinished.rename(target)


def _build(options: Options, made: Path) -> None:
    identifiers = Identifiers.derive(options.name)
    recipe = packages.target(selinux=options.selinux)
    with debian.unpacked(recipe) as tree, cache.scratch() as scratch:
        targetsystem.configure(tree, options.variant, options.version, identifiers)
        payload.install(tree, _PROGRAMS, payload.Interpreter(packages.PYTHON))
        esp = _esp_files(options.variant, tree, identifiers, scratch)
        needed = rawimage.root_bytes_for(tree, spare_bytes=_SPARE_BYTES)
        geometry = Geometry(_ESP_BYTES, _root_bytes(options, needed))
        with context(f"writing {options.name}"):
            rawimage.write(made / FILE_NAME, geometry, identifiers, tree, esp)


def _root_bytes(options: Options, needed: int) -> int:
    if options.root_bytes and options.root_bytes < needed:
        raise TridentError(
            Kind.INVALID_INPUT,
            "image-size",
            f"a root file system of {options.root_bytes // MIB} MiB is too small: the system and"
            f" room to work need {needed // MIB} MiB",
            hint=f"use --size {needed // MIB}M or more",
        )
    return -(-(options.root_bytes or needed) // MIB) * MIB


def _esp_files(
    variant: BootVariant, tree: Path, identifiers: Identifiers, scratch: Path
) -> Mapping[str, Path]:
    """What the ESP holds: its paths, and the host files (in `scratch` or the tree)."""
    loaders.collect(loaders.DISK, scratch)
    image = next((tree / "boot").glob("vmlinuz-*"))
    release = kernel.identify(image.read_bytes()).release
    if variant is BootVariant.GRUB:
        config = scratch / "grub.cfg"
        config.write_text(targetsystem.grub_config(identifiers, release))
        return {
            "EFI/BOOT/bootx64.efi": scratch / "shimx64.efi",
            "EFI/BOOT/grubx64.efi": scratch / "grubx64.efi",
            "EFI/BOOT/grub.cfg": config,
        }
    unified = _unified_kernel(tree, image, release, identifiers, scratch)
    loader_config = scratch / "loader.conf"
    loader_config.write_text("timeout 0\n")
    return {
        "EFI/BOOT/bootx64.efi": scratch / "systemd-bootx64.efi",
        "EFI/BOOT/grubx64.efi": scratch / "systemd-bootx64.efi",
        f"EFI/Linux/{unified.name}": unified,
        "loader/loader.conf": loader_config,
    }


def _unified_kernel(
    tree: Path, image: Path, release: str, identifiers: Identifiers, scratch: Path
) -> Path:
    command_line = scratch / "cmdline"
    command_line.write_text(targetsystem.kernel_arguments(identifiers))
    uname = scratch / "uname"
    uname.write_text(release)
    unified = scratch / f"vmlinuz-{release}.efi"
    sections = [
        uki.Section(".osrel", tree / "usr/lib/os-release"),
        uki.Section(".cmdline", command_line),
        uki.Section(".uname", uname),
        uki.Section(".initrd", tree / f"boot/initrd.img-{release}"),
        uki.Section(".linux", image),
    ]
    uki.build(scratch / "linuxx64.efi.stub", sections, unified)
    return unified
