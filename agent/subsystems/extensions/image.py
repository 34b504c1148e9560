"""What an extension image says of itself: its name, its kind, the system it is for.

The image is attached and mounted read-only to look at its extension-release file. Either it is a
file system, or a disk image with a partition table (a DDI) whose root or /usr partition is looked
at. Nothing in it is run.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.api import extensions, osrelease, parttypes
from agent.api.errors import Kind, TridentError
from agent.api.extensions import Wanted
from agent.api.parttypes import PartitionKind
from agent.cosi import gpt
from agent.cosi.http_policy import redact
from agent.linux import architecture, loop, mounts, probe

_PREFIX = "extension-release."
_STRICT = "user.extension-release.strict"
_MAX_RELEASE_BYTES = 64 * 1024
_HEAD_BYTES = 8192
_OS_RELEASE = (Path("etc/os-release"), Path("usr/lib/os-release"))


@dataclass(frozen=True)
class _Place:
    """Where in the image file its file system is. `size_bytes` None: up to the end."""

    offset_bytes: int = 0
    size_bytes: int | None = None
    is_usr: bool = False
    """The file system is that of /usr alone."""

    def inside(self, folder: PurePosixPath) -> PurePosixPath | None:
        """A folder of the extension in this file system; None when it cannot be in it."""
        if not self.is_usr:
            return folder
        return folder.relative_to("usr") if folder.is_relative_to("usr") else None


def examine(file: Path, wanted: Wanted, root: Path) -> str:
    """The name of the image in `file`, which must suit the system below `root`.

    Raises invalid-extension-image when systemd would not merge it there as what it is listed as.
    """
    place = _find(file, wanted)
    with _mounted(file, place, wanted) as tree:
        name, release, strict = _release(tree, place, wanted)
    if wanted.kind.key("ID") not in release:
        raise refused(
            wanted,
            f"its {_PREFIX}{name} has no {wanted.kind.key('ID')}",
            f"build it as a {wanted.kind}, or list it in the other section",
        )
    problem = extensions.misfit(wanted.kind, release, os_release(root), architecture.running())
    if problem is not None:
        raise refused(wanted, problem, "use an image that was built for this operating system")
    path = wanted.extension.path
    if path is not None and strict and path.stem != name:
        raise refused(
            wanted,
            f"it calls itself '{name}', and systemd goes by the file's name, which is "
            f"'{path.name}'",
            f"name the file {name}.raw, or leave out the path",
        )
    return name


def os_release(root: Path) -> Mapping[str, str]:
    """What the system below `root` says it is; links in it are not followed out of it."""
    for path in _OS_RELEASE:
        target = root / path
        if target.is_file() and not target.is_symlink():
            return osrelease.parse(target.read_text(errors="replace"))
    return {}


def refused(wanted: Wanted, why: str, hint: str) -> TridentError:
    """The error of an image that systemd would not merge."""
    return TridentError(
        Kind.INVALID_INPUT,
        "invalid-extension-image",
        f"the {wanted.kind} {wanted.file_name} cannot be used: {why}",
        hint=hint,
        fields={"url": redact(wanted.extension.url), "sha384": wanted.sha384},
    )


def _release(tree: Path, place: _Place, wanted: Wanted) -> tuple[str, Mapping[str, str], bool]:
    """Name, fields and strictness of the one extension-release file of the image."""
    folder = _folder(tree, place.inside(wanted.kind.release_folder))
    found = sorted(folder.iterdir()) if folder is not None else []
    named = [path for path in found if path.name.startswith(_PREFIX)]
    if len(named) != 1:
        raise refused(
            wanted,
            f"it holds {len(named)} files /{wanted.kind.release_folder}/{_PREFIX}NAME, "
            "and there must be exactly one",
            f"list it in the section of its kind, or build it as a {wanted.kind}",
        )
    file = named[0]
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_RELEASE_BYTES:
        raise refused(wanted, f"{file.name} is no small file", "build the image again")
    name = file.name.removeprefix(_PREFIX)
    return name, osrelease.parse(file.read_text(errors="replace")), _is_strict(file)


def _folder(tree: Path, folder: PurePosixPath | None) -> Path | None:
    """A folder of the image, unless a link on the way leads out of it."""
    if folder is None:
        return None
    current = tree
    for part in folder.parts:
        current = current / part
        if current.is_symlink() or not current.is_dir():
            return None
    return current


def _is_strict(file: Path) -> bool:
    """Whether systemd holds the image's file name to the name inside."""
    try:
        value = os.getxattr(file, _STRICT)
    except OSError:
        return True
    return value.decode(errors="replace").strip("\0 ").lower() not in ("0", "no", "false", "off")


@contextmanager
def _mounted(file: Path, place: _Place, wanted: Wanted) -> Iterator[Path]:
    """The image's file system, read-only."""
    with (
        loop.attached(
            file, read_only=True, offset_bytes=place.offset_bytes, size_bytes=place.size_bytes
        ) as device,
        tempfile.TemporaryDirectory(prefix="trident-extension-") as directory,
    ):
        filesystem = probe.signature(device).filesystem
        if filesystem is None:
            raise refused(wanted, "it holds no file system", "build the image again")
        options = ("ro", "nodev", "nosuid", "noexec")
        with mounts.mounted(device, Path(directory), filesystem=filesystem, options=options):
            yield Path(directory)


def _find(file: Path, wanted: Wanted) -> _Place:
    with file.open("rb") as stream:
        front = stream.read(_HEAD_BYTES)
        if not _has_table(front):
            return _Place()
        try:
            stream.seek(0)
            table = gpt.parse(stream.read(gpt.needed_bytes(front)), file.stat().st_size)
        except TridentError as error:
            raise refused(wanted, error.message, "build the image again") from error
    for kind in (PartitionKind.ROOT, PartitionKind.USR):
        for partition in table.partitions:
            if partition.type == parttypes.guid(kind, architecture.running()):
                usr = kind is PartitionKind.USR
                return _Place(table.offset(partition), table.size(partition), is_usr=usr)
    raise refused(
        wanted,
        "its partition table has no root or /usr partition for this processor",
        "build the image for this machine",
    )


def _has_table(front: bytes) -> bool:
    return any(front[size : size + 8] == b"EFI PART" for size in gpt.LBA_SIZES)
