"""EFI variables through efivarfs: boot loader interface, Secure Boot state, room in the NVRAM.

A variable is a file `Name-GUID`: 4 bytes of attributes (little endian), then the value, always
written by one write call. https://docs.kernel.org/filesystems/efivarfs.html;
https://systemd.io/BOOT_LOADER_INTERFACE.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import struct
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux.run import TRACE

DIRECTORY = Path("/sys/firmware/efi/efivars")
LOADER_GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
GLOBAL_GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_PROBE = "TridentSpaceProbe-5f0aeb6d-54ab-4f0c-9d4b-9d2d3c8b8a11"
_ATTRIBUTES = 0x7  # non-volatile, boot service access, run-time access
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_IMMUTABLE_FL = 0x10

log = logging.getLogger(__name__)


def encode_string(text: str) -> bytes:
    """A string as the boot loader interface stores it: UTF-16LE with a final NUL."""
    return (text + "\0").encode("utf-16-le")


def decode_string(value: bytes) -> str:
    """The string of a variable, without its final NULs."""
    return value.decode("utf-16-le", "replace").rstrip("\0")


def require(directory: Path = DIRECTORY) -> None:
    """Raise a clear error unless this system has EFI variables that can be written."""
    if not directory.is_dir() or not any(directory.iterdir()):
        raise _unavailable(
            "this system has no EFI variables: it was not booted by UEFI firmware",
            "set the machine to UEFI boot (not legacy BIOS or CSM) and boot the installer again; "
            "in a container, mount efivarfs",
        )
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise _unavailable(
            f"the EFI variables in {directory} are mounted read-only",
            f"run: mount -o remount,rw {directory}",
        )


def read(name: str, guid: str, directory: Path = DIRECTORY) -> bytes | None:
    """The value of a variable without its attributes, or None when it is not set."""
    try:
        content = (directory / f"{name}-{guid}").read_bytes()
    except FileNotFoundError:
        return None
    return content[4:]


def write(name: str, guid: str, value: bytes, directory: Path = DIRECTORY) -> None:
    """Set a variable (non-volatile). Raises set-efi-variable."""
    _write(directory / f"{name}-{guid}", value)


def delete(name: str, guid: str, directory: Path = DIRECTORY) -> None:
    """Delete a variable; nothing happens when it is not set. Raises set-efi-variable."""
    path = directory / f"{name}-{guid}"
    log.log(TRACE, "deleting EFI variable %s", name)
    try:
        _make_mutable(path)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_set(path.name, error) from error


def read_loader_string(name: str, directory: Path = DIRECTORY) -> str | None:
    """A string variable of the boot loader interface (`LoaderEntryDefault` ...), or None."""
    value = read(name, LOADER_GUID, directory)
    return None if value is None else decode_string(value)


def write_loader_string(name: str, text: str, directory: Path = DIRECTORY) -> None:
    """Set a string variable of the boot loader interface."""
    write(name, LOADER_GUID, encode_string(text), directory)


def secure_boot(directory: Path = DIRECTORY) -> bool:
    """Whether the firmware enforces Secure Boot."""
    return read("SecureBoot", GLOBAL_GUID, directory) == b"\x01"


def require_space(size_bytes: int, directory: Path = DIRECTORY) -> None:
    """Prove that the NVRAM takes `size_bytes` more, by a variable that is deleted again.

    Raises set-efi-variable with what to do when the store is full.
    """
    path = directory / _PROBE
    try:
        _write(path, bytes(size_bytes))
    finally:
        with contextlib.suppress(FileNotFoundError):
            _make_mutable(path)
            path.unlink()


def _write(path: Path, value: bytes) -> None:
    log.log(TRACE, "setting EFI variable %s", path.name)
    try:
        _make_mutable(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, struct.pack("<I", _ATTRIBUTES) + value)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _cannot_set(path.name, error) from error


def _make_mutable(path: Path) -> None:
    """The kernel protects most variables from `rm -rf` by the immutable flag: take it off."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        flags = struct.unpack("i", fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, bytes(4)))[0]
        if flags & _FS_IMMUTABLE_FL:
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("i", flags & ~_FS_IMMUTABLE_FL))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def _cannot_set(name: str, error: OSError) -> TridentError:
    full = error.errno in (errno.ENOSPC, errno.ENOMEM)
    return TridentError(
        Kind.SERVICING,
        "set-efi-variable",
        f"the EFI variable {name} cannot be set: "
        + ("the firmware's variable store is full" if full else str(error.strerror or error)),
        hint="free NVRAM space: delete old boot entries (efibootmgr -b XXXX -B) and crash dumps "
        "(/sys/firmware/efi/efivars/dump-*), then reboot once so that the firmware reclaims it"
        if full
        else None,
        fields={"name": name},
    )


def _unavailable(message: str, hint: str) -> TridentError:
    return TridentError(Kind.SERVICING, "read-efi-variable", message, hint=hint)
