"""Builds a medium: the servicing image set, boot loaders, menus and what is embedded, as one ISO.

The same inputs make the same bytes (SOURCE_DATE_EPOCH sets the time stamps). The label is a hash of
the content, so that a machine with two media in it takes the one it was booted from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

import agent
from agent.cosi.source import FileSource
from agent.medium import layout, menu, provisions
from agent.medium.description import Description
from agent.medium.provisions import NOTHING, Provisions
from agent.trust.keys import SigningKey
from iso_builder import cache, epoch, loaders, pins
from iso_builder import live as servicing
from iso_builder.medium import efi, embed, filesystem, hybrid, mapping, seal
from iso_builder.medium.filesystem import BootImages, Entry, Place
from iso_builder.medium.rewrite import not_written

_NAMESPACE = UUID("0f4b7a0c-6d1e-5b0e-9e2b-5b8a0d1c7f3e")
_READ_AHEAD_BYTES = 150 * filesystem.SECTOR
"""Drives may read this far behind the file system and must find something there."""
_LABEL_DIGITS = 12
BOOT = BootImages(layout.ISOLINUX, layout.EFI_IMAGE, layout.CATALOGUE)
_MODULES = ("ldlinux.c32", "libcom32.c32", "libutil.c32", "menu.c32")
_ISOLINUX_FOLDER = layout.ISOLINUX.rpartition("/")[0]


@dataclass(frozen=True)
class Trust:
    """Who signs a medium; the machine then accepts only what this key signed.

    `unsigned_changes`: what `customize` or a boot server lays over it needs no signature.
    """

    key: SigningKey | None = None
    unsigned_changes: bool = False


NOBODY = Trust()
"""Nobody signs: digests only."""


@dataclass(frozen=True)
class Order:
    """What an operator asks for."""

    live: servicing.Options
    configurations: tuple[embed.Configuration, ...] = ()
    images: tuple[Path, ...] = ()
    arguments: tuple[str, ...] = ()
    """Kernel arguments besides the consoles."""
    countdown_s: int = 10
    unattended: bool = False
    """Count down although nothing is embedded."""
    provisions: Provisions = NOTHING
    """What the medium brings for the live system."""
    trust: Trust = NOBODY


@dataclass(frozen=True)
class Content:
    """What goes onto a medium; `live` is a servicing image set."""

    description: Description
    texts: Mapping[str, bytes]
    images: tuple[Path, ...]
    live: Path
    trust: Trust = NOBODY


def build(order: Order, target: Path) -> Description:
    """Write the medium to the file `target`, which appears when it is complete, and its map.

    Raises what the checks of `embed` raise, not-root, missing-binary, servicing/command-failed,
    write-output-file.
    """
    digests = embed.digests(order.images)
    checked = embed.check_configurations(order.configurations, digests)
    by_name = {path.name: path for path in order.images}
    embed.require_fit(order.configurations, lambda name: FileSource(by_name[name]))
    source = servicing.build(order.live)
    description = _describe(order, digests, checked, source)
    unfinished = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with cache.scratch() as scratch:
            loaders.collect(loaders.MEDIUM, scratch, order.live.origin)
            texts = {**checked.texts, **order.provisions.on_medium()}
            content = Content(description, texts, order.images, source, order.trust)
            assemble(content, scratch, unfinished)
        mapping.forget(target)
        unfinished.replace(target)
    except OSError as error:
        raise not_written(target, error) from error
    finally:
        unfinished.unlink(missing_ok=True)
    mapping.write(target, description)
    return description


def assemble(content: Content, workspace: Path, target: Path) -> None:
    """Write the image of a medium. `workspace` holds the boot loaders (`loaders.MEDIUM`).

    Raises OSError, missing-binary, servicing/command-failed.
    """
    key = content.trust.key
    parts = entries(content, workspace)
    parts += seal.room(parts, layout.CATALOGUE, signed=key is not None)
    with seal.digesting(parts) as digested:
        write_image(target, content.description.menu.label, parts, workspace)
        known = digested()
    seal.write(target, key, unsigned_changes=content.trust.unsigned_changes, known=known)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def entries(content: Content, workspace: Path) -> list[Entry]:
    """All files of a medium but for the lists of what it holds."""
    return [
        Entry(layout.EFI_IMAGE, _efi_image(workspace, content.description.menu.label)),
        *_boot_entries(content, workspace),
        *menu_entries(content.description),
        *trident_entries(content),
        *(Entry(f"{layout.IMAGES}/{path.name}", path) for path in content.images),
    ]


def write_image(target: Path, label: str, parts: Sequence[Entry], workspace: Path) -> None:
    """Write an image that boots as a disc and as a disk. Raises OSError."""
    places = filesystem.write(target, label, parts, BOOT, time_s=epoch.seconds())
    _make_hybrid(target, places, label, (workspace / "isohdpfx.bin").read_bytes())


def server_argument(url: str | None) -> tuple[str, ...]:
    """The kernel argument that names a boot server, if there is one."""
    return () if url is None else (f"trident.server={url.rstrip('/')}",)


def network_arguments(checked: embed.Checked, brought: Provisions) -> Iterator[str]:
    """The kernel arguments that say who brings up the network."""
    if brought.network is not None:
        yield provisions.OWN_NETWORK
    elif checked.needs_address:
        yield "trident.dhcp"


def has_server(arguments: Sequence[str]) -> bool:
    """Whether these kernel arguments name a boot server."""
    return any(word.startswith("trident.server=") for word in arguments)


def _describe(
    order: Order, digests: Mapping[str, str], checked: embed.Checked, source: Path
) -> Description:
    own = [*network_arguments(checked, order.provisions)]
    arguments = (*own, *order.arguments)
    brought = order.provisions.on_medium()
    unattended = order.unattended or bool(checked.texts) or has_server(arguments)
    digest = hashlib.sha256((source / "manifest.json").read_bytes())
    key = order.trust.key
    trust = () if key is None else (key.public.identity, order.trust.unsigned_changes)
    content = (*sorted(digests.items()), *sorted({**checked.texts, **brought}.items()))
    for part in (*content, arguments, unattended, *trust):
        digest.update(repr(part).encode())
    chosen = menu.chosen(
        label=layout.LABEL_PREFIX + digest.hexdigest()[:_LABEL_DIGITS].upper(),
        arguments=(*arguments, *menu.CONSOLES),
        unattended=unattended,
        countdown_s=order.countdown_s,
    )
    return Description(
        builder=f"trident-iso {agent.__version__}",
        menu=chosen,
        images=dict(digests),
        configurations=tuple(sorted(checked.texts)),
        provisions=tuple(": ".join(one) for one in order.provisions.describe()),
    )


def _efi_image(workspace: Path, label: str) -> Path:
    redirection, marker = workspace / "redirection.cfg", workspace / "marker"
    redirection.write_text(menu.grub_redirection(label))
    marker.write_text(f"{label}\n")
    files = {
        "EFI/BOOT/BOOTX64.EFI": workspace / "shimx64.efi",
        "EFI/BOOT/grubx64.efi": workspace / "gcdx64.efi",
        "EFI/BOOT/mmx64.efi": workspace / "mmx64.efi",
        "EFI/BOOT/grub.cfg": redirection,
        "boot/grub/grub.cfg": redirection,
        menu.MARKER: marker,
    }
    image = workspace / "efi.img"
    efi.write(image, files, volume=uuid5(_NAMESPACE, label).hex[:8], time_s=epoch.seconds())
    return image


def _boot_entries(content: Content, workspace: Path) -> Iterator[Entry]:
    yield Entry(layout.ISOLINUX, workspace / "isolinux.bin")
    for module in _MODULES:
        yield Entry(f"{_ISOLINUX_FOLDER}/{module}", workspace / module)
    yield Entry(layout.KERNEL, content.live / "vmlinuz")
    initrd = content.live / "initrd.img"
    if content.trust.key is None:
        yield Entry(layout.INITRD, initrd)
    else:
        pin = pins.trusted_key(content.trust.key.public)
        yield Entry(layout.INITRD, initrd.read_bytes() + pin)


def menu_entries(description: Description) -> Iterator[Entry]:
    """The menus and their pristine copies."""
    for name, text in menu.texts(description.menu).items():
        yield Entry(name, text)
        yield Entry(layout.pristine(name), text)


def trident_entries(content: Content) -> Iterator[Entry]:
    """What the initrd, the installer and `customize` read."""
    yield Entry(layout.DESCRIPTION, content.description.dump())
    yield Entry(layout.OVERLAY, bytes(layout.OVERLAY_BYTES))
    yield Entry(layout.MANIFEST, content.live / "manifest.json")
    for name, text in sorted(content.texts.items()):
        yield Entry(name, text)
    yield Entry(layout.ROOTFS, content.live / "rootfs.squashfs")


def _make_hybrid(image: Path, places: Mapping[str, Place], label: str, boot_code: bytes) -> None:
    """Write the partition tables into the image's system area and behind its file system."""
    size = image.stat().st_size + _READ_AHEAD_BYTES + hybrid.BACKUP_BYTES
    size = -(-size // filesystem.SECTOR) * filesystem.SECTOR
    esp = places[layout.EFI_IMAGE]
    tables = hybrid.Hybrid(
        disk_blocks=size // hybrid.BLOCK,
        esp_first_block=esp.offset // hybrid.BLOCK,
        esp_blocks=esp.size // hybrid.BLOCK,
        bios_loader_block=places[layout.ISOLINUX].offset // hybrid.BLOCK,
        disk_guid=uuid5(_NAMESPACE, f"{label}/disk"),
        esp_guid=uuid5(_NAMESPACE, f"{label}/esp"),
    )
    with image.open("r+b") as stream:
        stream.truncate(size)
        stream.write(hybrid.front(tables, boot_code))
        stream.seek(size - hybrid.BACKUP_BYTES)
        stream.write(hybrid.back(tables))
