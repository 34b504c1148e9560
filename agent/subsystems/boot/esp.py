"""Boot files: from the ESP of an image to a directory of their own on the machine's ESP.

`select` decides from what the image holds; `require_room` and `copy` act. Only the target's own
directory (and the staged UKI) is written, every file under a temporary name first, so that a power
cut leaves the other side bootable.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture
from agent.linux import files, grub, loop, mounts
from agent.subsystems.boot import names, tree
from agent.subsystems.boot.families import Family

_ADDON_SUFFIXES = (".addon.efi", ".cred")
_ENTRIES_SREL = b"type1\n"
_UNCHANGED = grub.Change()


@dataclass(frozen=True)
class BootFile:
    """One file to be there: `target` relative to the ESP, `content` its bytes or their source."""

    target: str
    content: bytes | Path

    @property
    def size_bytes(self) -> int:
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.stat().st_size


@contextmanager
def mounted_image(image: Path, directory: Path) -> Iterator[Path]:
    """The ESP image in the file `image`, mounted read-only on `directory` for the block."""
    with (
        loop.attached(image, read_only=True) as device,
        mounts.mounted(device, directory, filesystem="vfat", options=("ro", "umask=0077")),
    ):
        yield directory


def select(
    image: Path,
    family: Family,
    architecture: Architecture,
    directory: str,
    boot_uuid: str,
    *,
    change: grub.Change = _UNCHANGED,
    panic_s: int | None = None,
) -> tuple[BootFile, ...]:
    """The boot loader files of an image's ESP (mounted at `image`) for EFI/`directory`.

    `boot_uuid` is that of the file system that holds /boot: grub.cfg is made to look for it.
    `change` is made to the arguments of kernels that it starts.
    With `panic_s`, kernels that it starts restart the machine so long after a panic.
    Raises deploy-esp-images when the image lacks one.
    """
    folder = f"{names.EFI}/{directory}"
    first = _required(image, family, family.first_stages(architecture))
    selected = [BootFile(f"{folder}/{names.boot_loader(architecture)}", first)]
    second = tree.first(image, family.second_stages(architecture))
    if second is not None:
        selected.append(BootFile(f"{folder}/{names.second_stage(architecture)}", second))
    elif family.second_stage_required:
        raise _missing(family, family.second_stages(architecture))
    if family.grub_config:
        config = _required(image, family, family.grub_config).read_text()
        patched = grub.set_arguments(grub.set_boot_filesystem(config, boot_uuid), change)
        if panic_s is not None:
            patched = grub.set_panic(patched, panic_s)
        selected.append(BootFile(f"{folder}/{names.GRUB_CONFIG}", patched.encode()))
    return tuple(selected)


def select_uki(image: Path) -> tuple[BootFile, ...]:
    """The UKI of an image's ESP and its add-ons, under their staging names.

    Raises deploy-esp-images unless EFI/Linux holds exactly one UKI.
    """
    folder = tree.find(image, names.UKI_DIRECTORY)
    ukis = tree.files(folder) if folder else ()
    if len(ukis) != 1:
        raise _error(
            f"the image's {names.UKI_DIRECTORY} must hold exactly one UKI, it holds {len(ukis)}",
            "rebuild the image with one unified kernel image",
        )
    uki = ukis[0]
    staged = f"{names.UKI_DIRECTORY}/{names.STAGED_UKI}"
    addons = tree.files(uki.with_name(uki.name + names.ADDONS_SUFFIX))
    return (
        BootFile(staged, uki),
        *(
            BootFile(f"{staged}{names.ADDONS_SUFFIX}/{addon.name}", addon)
            for addon in addons
            if addon.name.lower().endswith(_ADDON_SUFFIXES)
        ),
        BootFile("loader/entries.srel", _ENTRIES_SREL),
    )


def needed_bytes(selected: Iterable[BootFile], cluster_bytes: int) -> int:
    """Space that the files take on a file system with clusters of this size."""
    return sum(-(-file.size_bytes // cluster_bytes) * cluster_bytes for file in selected)


def require_room(esp: Path, selected: Sequence[BootFile], freed: Sequence[Path] = ()) -> None:
    """Raise deploy-esp-images unless all files fit beside what stays on the ESP.

    `freed` are files that are removed before. Old and new versions of a file count both: they
    exist together for a moment.
    """
    state = os.statvfs(esp)
    available = state.f_bavail * state.f_frsize + sum(path.stat().st_size for path in freed)
    _require(needed_bytes(selected, state.f_frsize), available, "is too full")


def require_capacity(size_bytes: int, selected: Sequence[BootFile]) -> None:
    """Raise deploy-esp-images when the files cannot fit on an empty ESP of this size. Pure.

    Files count with their plain sizes, the file system's own tables with nothing: what passes here
    is checked again on the real one.
    """
    _require(needed_bytes(selected, 1), size_bytes, "is too small")


def _require(needed: int, available: int, state: str) -> None:
    if needed > available:
        raise _error(
            f"the EFI system partition {state}: the boot files need {needed} bytes, "
            f"{available} are available",
            "make the EFI system partition larger in storage.disks[].partitions[].size, or delete "
            "files that are no longer needed from it",
            neededBytes=str(needed),
            availableBytes=str(available),
        )


def copy(esp: Path, selected: Sequence[BootFile], directory: str) -> None:
    """Write the files to the ESP; then remove what else is in EFI/`directory`.

    The program that the firmware starts comes last, when all it needs is there.
    """
    for file in reversed(selected):
        target = esp / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.content, bytes):
            files.write(target, file.content)
        else:
            files.copy(file.content, target)
    wanted = {(esp / file.target).name.casefold() for file in selected}
    for present in tree.files(esp / names.EFI / directory):
        if present.name.casefold() not in wanted:
            present.unlink()
    files.sync_directory(esp / names.EFI / directory)


def check_shadows(esp: Path, family: Family) -> None:
    """Raise deploy-esp-images when the ESP holds what makes this GRUB ignore its own grub.cfg."""
    present = [path for path in family.shadowing if tree.find(esp, path) is not None]
    if present:
        raise _error(
            f"the EFI system partition holds {', '.join(present)}: the GRUB of this image would "
            "read its configuration there",
            "remove the other installation's files from the EFI system partition",
        )


def _required(image: Path, family: Family, candidates: Sequence[str]) -> Path:
    found = tree.first(image, candidates)
    if found is None:
        raise _missing(family, candidates)
    return found


def _missing(family: Family, candidates: Sequence[str]) -> TridentError:
    return _error(
        f"the image's EFI system partition lacks {' and '.join(candidates)} "
        f"(looked for {family.name})",
        "rebuild the image with its boot loader on its EFI system partition",
    )


def _error(message: str, hint: str, **fields: str) -> TridentError:
    return TridentError(Kind.SERVICING, "deploy-esp-images", message, hint=hint, fields=fields)
