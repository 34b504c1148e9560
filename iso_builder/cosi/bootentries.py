"""How an OS boots: unified kernel images, boot loader entries (UAPI.1) and GRUB's configuration."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.api.errors import context
from agent.cosi import pe
from agent.cosi.metadata import (
    BootEntry,
    BootEntryType,
    Bootloader,
    BootloaderType,
    SystemdBoot,
)
from iso_builder.cosi import imagefs, inventory
from iso_builder.cosi.imagefs import ImageFs
from iso_builder.cosi.refusal import not_understood
from iso_builder.cosi.systemtree import Branch

UKI_FOLDER = "/EFI/Linux"
ENTRY_FOLDER = "/loader/entries"
_GRUB_FOLDERS = ("/boot/grub", "/boot/grub2", "/grub", "/grub2")
"""Where grub.cfg may lie, within whichever file system holds it; and in each folder of /EFI."""
ENTRY_FOLDERS = ("/boot/loader/entries", ENTRY_FOLDER)
_KERNEL_PREFIXES = ("vmlinuz-", "linux-", "kernel-")


@dataclass(frozen=True)
class Boot:
    """The boot loader as COSI tells of it, and every kernel command line that was found."""

    loader: Bootloader
    command_lines: tuple[str, ...]


def examine(esp: Branch, boot: Branch | None, others: Sequence[Branch]) -> Boot:
    """Find out how the OS boots.

    `boot` is the extended boot loader partition. UKIs and loader entries mean systemd-boot (those
    on `boot` may be GRUB's as well, so a grub.cfg decides); otherwise it must be GRUB.
    Raises image-not-understood, corrupt-os-image.
    """
    everywhere = [esp, *others]
    has_grub = any(_has_grub(place.files) for place in everywhere)
    places = [esp] if boot is None or has_grub else [esp, boot]
    entries = tuple(entry for place in places for entry in (*_ukis(place), *_loader_entries(place)))
    if entries:
        loader = Bootloader(
            type=BootloaderType.SYSTEMD_BOOT, systemd_boot=SystemdBoot(entries=entries)
        )
        return Boot(loader, tuple(entry.cmdline for entry in entries))
    lines = [line for place in everywhere for line in _grub_lines(place.files)]
    if has_grub or _has_grub_program(esp.files):
        return Boot(Bootloader(type=BootloaderType.GRUB), tuple(lines))
    raise not_understood(
        "no boot loader is found",
        "the image needs GRUB with its grub.cfg, or unified kernel images in EFI/Linux of the ESP",
    )


def grub_folders(files: ImageFs) -> Iterator[str]:
    """The folders of a file system where GRUB's configuration may lie."""
    yield from _GRUB_FOLDERS
    for name in files.folders("/EFI"):
        yield f"/EFI/{name}"


def read_uki(files: ImageFs, path: str) -> pe.Uki | None:
    """The unified kernel image at `path`, however large; None when there is no such file."""
    with tempfile.NamedTemporaryFile() as copy:
        if not imagefs.copy_out(files, path, Path(copy.name)):
            return None
        with context(f"reading {path}"):
            return pe.parse_uki(mapped(Path(copy.name)))


def mapped(file: Path) -> pe.Data:
    """The content of a file, read only where it is looked at."""
    if file.stat().st_size == 0:
        return b""
    with file.open("rb") as source:
        return mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)


def _ukis(place: Branch) -> Iterator[BootEntry]:
    for name in place.files.names(UKI_FOLDER):
        path = f"{UKI_FOLDER}/{name}"
        if not name.lower().endswith(".efi") or (uki := read_uki(place.files, path)) is None:
            continue
        yield BootEntry(
            type=BootEntryType.UKI_STANDALONE,
            path=_absolute(place, path),
            cmdline=uki.cmdline,
            kernel=uki.kernel,
        )


def _loader_entries(place: Branch) -> Iterator[BootEntry]:
    for name in place.files.names(ENTRY_FOLDER):
        path = f"{ENTRY_FOLDER}/{name}"
        text = imagefs.read_text(place.files, path) if name.lower().endswith(".conf") else None
        if text is None:
            continue
        entry = inventory.loader_entry(text)
        uki = _uki_of(place.files, entry)
        yield BootEntry(
            type=BootEntryType.UKI_CONFIG if entry.is_uki else BootEntryType.CONFIG,
            path=_absolute(place, path),
            cmdline=entry.cmdline or (uki.cmdline if uki else ""),
            kernel=(uki.kernel if uki else "") or entry.kernel or _release(entry.image),
        )


def _uki_of(files: ImageFs, entry: inventory.LoaderEntry) -> pe.Uki | None:
    if not entry.is_uki or not entry.image.startswith("/"):
        return None
    return read_uki(files, entry.image)


def _release(kernel_path: str) -> str:
    """The release that a kernel's file name tells; empty when it tells none."""
    name = PurePosixPath(kernel_path).name
    for prefix in _KERNEL_PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return ""


def _has_grub(files: ImageFs) -> bool:
    return any(
        imagefs.find(files, f"{folder}/grub.cfg") is not None for folder in grub_folders(files)
    )


def _has_grub_program(esp: ImageFs) -> bool:
    return any("grub" in name.lower() for name in esp.names("/EFI/BOOT"))


def _grub_lines(files: ImageFs) -> Iterator[str]:
    for folder in grub_folders(files):
        if (text := imagefs.read_text(files, f"{folder}/grub.cfg")) is not None:
            yield from inventory.grub_command_lines(text)
    for folder in ENTRY_FOLDERS:
        for name in files.names(folder):
            text = imagefs.read_text(files, f"{folder}/{name}")
            if text is not None and name.endswith(".conf"):
                yield inventory.loader_entry(text).cmdline


def _absolute(place: Branch, path: str) -> str:
    return f"{str(place.mount_point).rstrip('/')}{path}"
