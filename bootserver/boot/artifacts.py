"""The servicing image set the server hands out: what its folder holds, read from its manifest."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.api.errors import Kind, TridentError
from bootserver.documents import read_text

MANIFEST: Final = "manifest.json"
KERNEL: Final = "vmlinuz"
INITRD: Final = "initrd.img"
ROOTFS: Final = "rootfs.squashfs"
REQUIRED: Final = (KERNEL, INITRD, ROOTFS)


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    size: int
    sha384: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    architecture: str
    files: dict[str, _File]


@dataclass(frozen=True)
class Artifacts:
    """One servicing image set. `present` holds the paths of the manifest's files on disk."""

    architecture: str
    rootfs_sha384: str
    present: frozenset[str]


def load(folder: Path) -> Artifacts:
    """Read the set in `folder`. Raises invalid-input/invalid-artifacts, read-input-file."""
    manifest = _read(folder)
    missing = [name for name in REQUIRED if name not in manifest.files]
    if manifest.version != 1:
        raise _invalid(folder, f"the manifest's version is {manifest.version}, not 1")
    if missing:
        raise _invalid(folder, f"the manifest does not name {', '.join(missing)}")
    for name, file in manifest.files.items():
        path = folder / name
        if name in REQUIRED and not path.is_file():
            raise _invalid(folder, f"{name} is missing")
        if path.is_file() and path.stat().st_size != file.size:
            raise _invalid(folder, f"{name} has {path.stat().st_size} bytes, not {file.size}")
    extra = {"arm64/snponly.efi"} - manifest.files.keys()
    names = manifest.files.keys() | extra
    return Artifacts(
        manifest.architecture,
        manifest.files[ROOTFS].sha384,
        frozenset(name for name in names if (folder / name).is_file()),
    )


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-384 of every file of the set, as the manifest says. Raises like `load`."""
    return {name: file.sha384 for name, file in _read(folder).files.items()}


def watch(folder: Path) -> Callable[[], Artifacts]:
    """A reader that loads the set again whenever its manifest was replaced."""
    loaded: dict[tuple[int, int, int], Artifacts] = {}

    def current() -> Artifacts:
        try:
            status = os.stat(folder / MANIFEST)
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = (0, 0, 0)
        known = loaded.get(stamp)
        if known is None:
            known = load(folder)
            loaded.clear()
            loaded[stamp] = known
        return known

    return current


def _read(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        return _Manifest.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _invalid(folder, f"{MANIFEST}: {place}: {first['msg']}") from error


def _invalid(folder: Path, reason: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "invalid-artifacts",
        f"{folder} is not a servicing image set: {reason}",
        hint="build it again with trident-iso live",
        fields={"path": str(folder)},
    )
