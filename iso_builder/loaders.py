"""Boot loaders, taken out of Debian packages and never installed on the host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.linux import run
from iso_builder import cache, debian, packages
from iso_builder.debian import Recipe
from iso_builder.lock import USUAL, Origin

_IPXE = "usr/lib/ipxe"
_SHIM = "usr/lib/shim/shimx64.efi.signed"
_GRUB = "usr/lib/grub/x86_64-efi-signed"
_ISOLINUX = "usr/lib/ISOLINUX"

NETBOOT = {
    "x86_64/snponly.efi": f"{_IPXE}/snponly.efi",
    "x86_64/ipxe.efi": f"{_IPXE}/ipxe.efi",
    "x86_64/shimx64.efi": _SHIM,
    "x86_64/grubx64.efi": f"{_GRUB}/grubnetx64.efi.signed",
    "bios/undionly.kpxe": f"{_IPXE}/undionly.kpxe",
}
"""Loaders of a servicing image set: name in the set -> path in the packages."""

DISK = {
    "shimx64.efi": _SHIM,
    "grubx64.efi": f"{_GRUB}/grubx64.efi.signed",
    "systemd-bootx64.efi": "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    "linuxx64.efi.stub": "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
}
"""Loaders of an installed system."""

MEDIUM = {
    "shimx64.efi": _SHIM,
    "mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
    "gcdx64.efi": f"{_GRUB}/gcdx64.efi.signed",
    "isohdpfx.bin": f"{_ISOLINUX}/isohdpfx.bin",
    "isolinux.bin": f"{_ISOLINUX}/isolinux.bin",
    **{
        name: f"usr/lib/syslinux/modules/bios/{name}"
        for name in ("ldlinux.c32", "libcom32.c32", "libutil.c32", "menu.c32")
    },
}
"""Loaders of an installation medium."""


def collect(wanted: Mapping[str, str], target: Path, origin: Origin = USUAL) -> None:
    """Copy loaders into `target` under their names in `wanted`."""
    source = _unpacked(origin)
    for name, path in wanted.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((source / path).read_bytes())


def recipes() -> tuple[Recipe, ...]:
    """The trees that loaders come from."""
    return (packages.signed_loaders(), packages.newer_loaders(), packages.bios_loaders())


def _unpacked(origin: Origin) -> Path:
    """A cached folder with every loader at its path in its package."""
    sources = tuple(map(origin.of, recipes()))
    archives = [str(debian.archive(recipe)) for recipe in sources]
    wanted = sorted({*NETBOOT.values(), *DISK.values(), *MEDIUM.values()})
    name = cache.key({"archives": archives, "files": wanted, "format": 1})

    folders = sorted({f"./{Path(path).parent}" for path in wanted})

    def build(made: Path) -> None:
        for recipe in sources:
            archive = debian.archive(recipe)
            listing = set(run.run(["tar", "--list", "--file", archive]).stdout.split("\n"))
            here = [name for name in folders if f"{name}/" in listing]
            run.run(["tar", "--extract", "--file", archive, "--directory", made, *here])
        missing = [path for path in wanted if not (made / path).is_file()]
        if missing:
            raise debian.missing_files(missing)

    return cache.obtain("loaders", name, build, fresh_s=origin.fresh_s)
