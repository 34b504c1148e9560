"""What a disk comes in: raw, a fixed VHD (raw with a footer behind it), qcow2.

The format is told by the file's own marks, never by its name. Formats that are not read are named,
with the command that makes a raw disk of them. The file itself is only read; holes stay holes.
"""

from __future__ import annotations

import errno
import os
import shlex
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.linux import qemu_img
from iso_builder.cosi.progress import Report

FOOTER_BYTES = 512
_COPY_BYTES = 8 * 1024 * 1024
_MARK_BYTES = 128
_FOOTER = struct.Struct(">8sIIQI4sI4sQQIII")
_COOKIE = b"conectix"
_CHECKSUM_AT = 64
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_QCOW2 = b"QFI\xfb"
_CONVERTIBLE = (
    (0, b"vhdxfile", "VHDX", "vhdx"),
    (0, b"KDMV", "VMDK", "vmdk"),
    (0, b"# Disk DescriptorFile", "VMDK", "vmdk"),
    (64, b"\x7f\x10\xda\xbe", "VDI", "vdi"),
)
"""Formats that qemu-img can convert: the place of their mark, the mark, their name, qemu-img's."""
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gzip -dc"),
    b"\xfd7zXZ\0": ("xz", "xz -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
}


class DiskFormat(StrEnum):
    """How the bytes of the disk lie in the file."""

    RAW = "raw"
    FIXED_VHD = "fixed VHD"
    QCOW2 = "qcow2"


@dataclass(frozen=True)
class DiskFile:
    """A disk of `size` bytes. `format` is what it comes in."""

    file: Path
    size: int
    format: DiskFormat = DiskFormat.RAW

    def copy(
        self,
        offset: int,
        size: int,
        target: Path,
        progress: Report = lambda _done, _total: None,
    ) -> None:
        """Copy a stretch of the disk to the new file `target`.

        Raises read-input-file, command-failed; OSError when there is no room.
        """
        if self.format is DiskFormat.QCOW2:
            qemu_img.copy_range(self.file, "qcow2", offset, size, target)
        else:
            _copy(self.file, offset, size, target, progress)
        progress(size, size)


def open_disk(path: Path) -> DiskFile:
    """Find out what `path` is.

    Raises read-input-file, corrupt-os-image, disk-format-unsupported, command-failed.
    """
    try:
        with path.open("rb") as source:
            size = source.seek(0, os.SEEK_END)
            source.seek(0)
            front = source.read(_MARK_BYTES)
            source.seek(max(0, size - FOOTER_BYTES))
            back = source.read(FOOTER_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    if front.startswith(_QCOW2):
        return _qcow2(path)
    _refuse_other(path, front)
    if back.startswith(_COOKIE) or front.startswith(_COOKIE):
        return DiskFile(path, _fixed_vhd_bytes(path, size, back), DiskFormat.FIXED_VHD)
    return DiskFile(path, size)


def unreadable(path: Path, error: OSError) -> TridentError:
    """The error for a disk image that the system does not let us read."""
    return TridentError(
        Kind.INVALID_INPUT,
        "read-input-file",
        f"{path} cannot be read: {error.strerror or error}",
        hint="name a disk image: raw, qcow2 or fixed VHD",
    )


def _qcow2(path: Path) -> DiskFile:
    with context(f"opening {path}"):
        info = qemu_img.info(path, "qcow2")
        other = info.backing_file or info.data_file
        if other is not None:
            raise _unsupported(
                f"{path} is only a part of a disk: it needs {other}",
                f"make one file of both: {_convert('qcow2', path)}",
            )
        if info.encrypted:
            raise _unsupported(f"{path} is encrypted", "decrypt it with qemu-img convert")
        return DiskFile(path, info.virtual_bytes, DiskFormat.QCOW2)


def _refuse_other(path: Path, front: bytes) -> None:
    for place, mark, name, image_format in _CONVERTIBLE:
        if front.startswith(mark, place):
            raise _unsupported(
                f"{path} is a {name} image", f"convert it: {_convert(image_format, path)}"
            )
    for mark, (name, command) in _COMPRESSED.items():
        if front.startswith(mark):
            unpacked = shlex.quote(str(path.with_suffix(".raw")))
            raise _unsupported(
                f"{path} is compressed with {name}",
                f"decompress it: {command} {shlex.quote(str(path))} > {unpacked}",
            )


def _fixed_vhd_bytes(path: Path, file_bytes: int, footer: bytes) -> int:
    """The size of the disk in a fixed VHD, its footer checked."""
    if len(footer) < FOOTER_BYTES or not footer.startswith(_COOKIE):
        raise _damaged(f"{path} begins as a VHD and has no footer: it is truncated", path)
    fields = _FOOTER.unpack_from(footer)
    size, kind, checksum = fields[9], fields[11], fields[12]
    without = footer[:_CHECKSUM_AT] + bytes(4) + footer[_CHECKSUM_AT + 4 :]
    if checksum != ~sum(without) & 0xFFFFFFFF:
        raise _damaged(f"the footer of the VHD {path} is damaged: its checksum is wrong", path)
    if kind in (_DYNAMIC, _DIFFERENCING):
        name = "dynamic" if kind == _DYNAMIC else "differencing"
        raise _unsupported(f"{path} is a {name} VHD", f"convert it: {_convert('vpc', path)}")
    if kind != _FIXED:
        raise _damaged(f"the VHD {path} is of an unknown kind ({kind})", path)
    if size != file_bytes - FOOTER_BYTES:
        raise _damaged(
            f"the VHD {path} claims a disk of {size} bytes and holds {file_bytes - FOOTER_BYTES}",
            path,
        )
    return int(size)


def _convert(image_format: str, path: Path) -> str:
    raw = path.with_suffix(".raw")
    return shlex.join(["qemu-img", "convert", "-f", image_format, "-O", "raw", str(path), str(raw)])


def _unsupported(what: str, hint: str) -> TridentError:
    return TridentError(Kind.UNSUPPORTED_CONFIGURATION, "disk-format-unsupported", what, hint=hint)


def _damaged(what: str, path: Path) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "corrupt-os-image",
        what,
        hint=f"copy {path.name} again, or export it anew where it comes from",
    )


def _copy(disk: Path, offset: int, size: int, target: Path, progress: Report) -> None:
    """Copy a stretch of the disk; its holes stay holes."""
    with disk.open("rb") as source, target.open("wb") as out:
        out.truncate(size)
        at = offset
        while (data := _next_data(source.fileno(), at, offset + size)) is not None:
            start, end = data
            for place in range(start, end, _COPY_BYTES):
                length = min(end - place, _COPY_BYTES)
                content = _read(disk, source.fileno(), place, length)
                out.seek(place - offset)
                out.write(content)
                progress(place + length - offset, size)
            at = end


def _next_data(fd: int, start: int, limit: int) -> tuple[int, int] | None:
    """The next stretch that is no hole, at most up to `limit`."""
    try:
        first = os.lseek(fd, start, os.SEEK_DATA)
    except OSError:  # ENXIO: only a hole is left
        return None
    if first >= limit:
        return None
    return first, min(os.lseek(fd, first, os.SEEK_HOLE), limit)


def _read(disk: Path, fd: int, at: int, length: int) -> bytes:
    """Exactly these bytes of the disk. Raises read-input-file."""
    try:
        data = os.pread(fd, length, at)
    except OSError as error:
        raise unreadable(disk, error) from error
    if len(data) < length:
        raise unreadable(disk, OSError(errno.EIO, f"it ends at byte {at + len(data)}"))
    return data
