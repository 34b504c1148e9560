"""Staging boot files: rehearsed from the image before anything is destroyed, then copied.

The image's ESP is extracted to a temporary file and mounted read-only for both.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.osconfig import UefiFallbackMode
from agent.api.status import AbVolume, ServicingType
from agent.api.storage import FileSystem
from agent.api.units import fixed_bytes
from agent.cosi.metadata import CosiMetadata, Image
from agent.cosi.reader import CosiImage
from agent.cosi.stream import extract_image
from agent.engine.context import Context
from agent.linux import files, grub, mounts
from agent.subsystems.boot import arguments, esp, families, names, uki
from agent.subsystems.boot.esp import BootFile

ESP_DIRECTORY = Path("/run/trident/esp")
_EXTRACTION_DIRECTORY = "var/tmp"
_BOOT = Path("/boot")
_MEMORY_RESERVE_BYTES = 256 << 20
_MEMINFO = Path("/proc/meminfo")

log = logging.getLogger(__name__)


def rehearse(context: Context) -> None:
    """Find the boot files in the image and check that they will fit; keeps nothing.

    Takes memory for the image's ESP for a moment; on a machine that has not enough to spare the
    same errors come when the files are copied. Raises deploy-esp-images, update-grub-configs.
    """
    directory = Path(tempfile.gettempdir())
    needed = esp_image(context).image.uncompressed_size + _MEMORY_RESERVE_BYTES
    memory = available_bytes(_MEMINFO.read_text())
    if min(memory, shutil.disk_usage(directory).free) < needed:
        log.warning("%d bytes are not free to check the boot files in advance", needed)
        return
    with _extracted(context, directory) as mounted:
        selected = _select(mounted, context)
        size_bytes = _esp_partition_bytes(context)
        if size_bytes is not None:
            esp.require_capacity(size_bytes, (*selected, *_fallback_copies(selected, context)))
        if context.servicing is ServicingType.AB_UPDATE:
            with mounted_esp(context) as root:
                _require_room(root, selected, context)


def copy(context: Context) -> None:
    """Pick the install index, then copy the image's boot files into the directory of the target."""
    root = esp_root(context)
    if context.servicing is ServicingType.CLEAN_INSTALL:
        efi = root / names.EFI
        present = [entry.name for entry in efi.iterdir()] if efi.is_dir() else []
        context.facts.install_index = names.free_index(present)
    with _extracted(context, context.newroot / _EXTRACTION_DIRECTORY) as mounted:
        esp.check_shadows(root, families.of_image(image(context).metadata))
        selected = _select(mounted, context)
        if image(context).metadata.is_uki:
            uki.clear_staged(root)
        for path in _require_room(root, selected, context):
            uki.remove(path)
        esp.copy(root, selected, label(context))


@contextmanager
def mounted_esp(context: Context) -> Iterator[Path]:
    """The machine's ESP on a directory of our own, beside where it may be mounted already."""
    if mounts.at(ESP_DIRECTORY) is not None:
        mounts.unmount(ESP_DIRECTORY)
    with mounts.mounted(esp_device(context), ESP_DIRECTORY) as root:
        yield root


def _require_room(root: Path, selected: tuple[BootFile, ...], context: Context) -> tuple[Path, ...]:
    """Check that the files fit on the ESP at `root`; the UKIs that have to go before, if any."""
    superseded: tuple[Path, ...] = ()
    if image(context).metadata.is_uki:
        slot = names.uki_slot(context.facts.install_index, context.target_volume)
        superseded = uki.superseded(root, slot, _active_slot(context))
    esp.require_room(root, (*selected, *_fallback_copies(selected, context)), superseded)
    return superseded


def available_bytes(meminfo: str) -> int:
    """MemAvailable in the text of /proc/meminfo; 0 when it is not there."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def label(context: Context) -> str:
    """Name of the target's directory below EFI, and of its boot entry."""
    return names.directory(context.facts.install_index, context.target_volume)


def image(context: Context) -> CosiImage:
    """The run's image; staging has one."""
    if context.image is None:
        raise TridentError(Kind.INTERNAL, "internal", "boot files are staged without an image")
    return context.image


def esp_image(context: Context) -> Image:
    """The ESP in the image. Raises missing-os-image-filesystem."""
    found = image(context).metadata.esp
    if found is None:
        raise _no_filesystem(
            "the image has no EFI system partition",
            "rebuild the image with its EFI system partition",
        )
    return found


def esp_filesystem(context: Context) -> FileSystem:
    """The ESP in the Host Configuration. Raises esp-mount-point-not-found."""
    for filesystem in context.configuration.storage.filesystems:
        if filesystem.is_esp:
            return filesystem
    raise _no_esp()


def esp_device(context: Context) -> Path:
    """Device node of the machine's ESP, once its partition exists."""
    device_id = esp_filesystem(context).device_id
    if device_id is None:
        raise _no_esp()
    return context.device_path(device_id)


def esp_root(context: Context) -> Path:
    """Where the machine's ESP is mounted below the newroot."""
    path = esp_filesystem(context).mount_path
    if path is None:
        raise _no_esp()
    return files.inside(context.newroot, str(path))


@contextmanager
def _extracted(context: Context, parent: Path) -> Iterator[Path]:
    """The image's ESP, mounted below a temporary directory in `parent` for the block."""
    with tempfile.TemporaryDirectory(prefix="trident-esp-", dir=parent) as name:
        file = Path(name) / "esp.img"
        source = image(context)
        extract_image(source, esp_image(context).image, file, progress=context.progress)
        with esp.mounted_image(file, Path(name) / "mnt") as mounted:
            yield mounted


def _select(mounted: Path, context: Context) -> tuple[BootFile, ...]:
    """The files to copy from the image's ESP, the UKI among them."""
    metadata = image(context).metadata
    selected = esp.select(
        mounted,
        families.of_image(metadata),
        metadata.os_arch,
        label(context),
        _boot_filesystem(metadata).fs_uuid,
        change=arguments.wanted(context.configuration.os),
        panic_s=grub.PANIC_S if context.servicing is ServicingType.AB_UPDATE else None,
    )
    return selected + esp.select_uki(mounted) if metadata.is_uki else selected


def _fallback_copies(selected: tuple[BootFile, ...], context: Context) -> tuple[BootFile, ...]:
    """The files that finalize will copy once more, to EFI/BOOT."""
    if context.configuration.os.uefi_fallback is UefiFallbackMode.DISABLED:
        return ()
    own = f"{names.EFI}/{label(context)}/"
    return tuple(file for file in selected if file.target.startswith(own))


def _esp_partition_bytes(context: Context) -> int | None:
    """The size the configuration gives the ESP; None when it is not fixed."""
    device_id = esp_filesystem(context).device_id
    for disk in context.configuration.storage.disks:
        for partition in disk.partitions:
            if partition.id == device_id:
                return fixed_bytes(partition.size)
    return None


def _active_slot(context: Context) -> str | None:
    active: AbVolume | None = context.old_status.ab_active_volume
    return None if active is None else names.uki_slot(context.facts.install_index, active)


def _boot_filesystem(metadata: CosiMetadata) -> Image:
    """The image's file system that holds /boot in the target."""
    above = [entry for entry in metadata.filesystems if _BOOT.is_relative_to(entry.mount_point)]
    if not above:
        raise _no_filesystem(
            "no file system of the image holds /boot",
            "rebuild the image with a root file system",
        )
    return max(above, key=lambda entry: len(entry.mount_point.parts))


def _no_filesystem(message: str, hint: str) -> TridentError:
    return TridentError(Kind.INVALID_INPUT, "missing-os-image-filesystem", message, hint=hint)


def _no_esp() -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "invalid-host-configuration-static",
        "the Host Configuration has no EFI system partition's file system",
        hint="add a file system from the image with mountPoint /boot/efi to storage.filesystems",
        fields={"inner": "esp-mount-point-not-found"},
    )
