"""Where decompressed bytes go: a block device past the page cache, or a file.

O_DIRECT wants offset, length and memory aligned; buffers are page-aligned, and the one unaligned
tail an image may have goes through the page cache. Targets that refuse O_DIRECT get plain writes.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
from pathlib import Path
from typing import Protocol

from agent.api.errors import Kind, TridentError
from agent.cosi.closing import Closing

BUFFER_BYTES = 2 * 1024 * 1024
_ALIGNMENT = 4096


class Buffer:
    """A reusable page-aligned piece of decompressed data; its first `used` bytes count."""

    def __init__(self) -> None:
        self.memory = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        self.used = 0

    @property
    def data(self) -> memoryview:
        return self.memory[: self.used]


class Sink(Protocol):
    @property
    def direct(self) -> bool:
        """Whether the bulk was written past the page cache."""
        ...

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`. Raises deploy-images."""
        ...

    def sync(self) -> None:
        """Make it durable. Raises deploy-images; never tried twice on the same target."""
        ...


class _Target:
    """An open target; `direct` until it refuses."""

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self.direct = True
        try:
            self.fd = os.open(path, flags | os.O_DIRECT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise _failed(path, "opened", error) from error
            self.direct = False
            self.fd = self._open_plain(flags)

    def _open_plain(self, flags: int) -> int:
        try:
            return os.open(self.path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(self.path, "opened", error) from error

    def write(self, offset: int, data: memoryview) -> None:
        aligned = len(data) // _ALIGNMENT * _ALIGNMENT
        try:
            self._write_all(offset, data[:aligned])
            if aligned < len(data):
                self._leave_direct()
                self._write_all(offset + aligned, data[aligned:])
        except OSError as error:
            raise _failed(self.path, f"written at byte {offset}", error) from error

    def sync(self) -> None:
        try:
            os.fsync(self.fd)
        except OSError as error:
            raise _failed(self.path, "synced", error) from error

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _write_all(self, offset: int, data: memoryview) -> None:
        while data:
            try:
                count = os.pwrite(self.fd, data, offset)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._leave_direct():
                    raise
                self.direct = False
                continue
            data = data[count:]
            offset += count

    def _leave_direct(self) -> bool:
        """Go on through the page cache; whether that changes anything."""
        flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        return bool(flags & os.O_DIRECT)


class DeviceSink(Closing):
    """The start of a block device, opened exclusively, or of a file that is there already.

    Nothing is created: a device node that has not appeared yet must not become a file in memory.
    Raises filesystem-size-exceeds-block-device when `size_bytes` do not fit, and deploy-images
    when the device is in use or is not the size it is expected to be.
    """

    def __init__(self, path: Path, size_bytes: int, expected_capacity_bytes: int | None) -> None:
        # O_EXCL without O_CREAT means something for block devices only: refuse those in use.
        self._target = _Target(path, os.O_WRONLY | (os.O_EXCL if path.is_block_device() else 0))
        try:
            if stat.S_ISBLK(os.fstat(self._target.fd).st_mode):
                capacity = os.lseek(self._target.fd, 0, os.SEEK_END)
                _check_capacity(path, capacity, size_bytes, expected_capacity_bytes)
        except BaseException:
            self._target.close()
            raise

    @property
    def direct(self) -> bool:
        return self._target.direct

    def write(self, offset: int, data: memoryview) -> None:
        self._target.write(offset, data)

    def sync(self) -> None:
        self._target.sync()

    def close(self) -> None:
        self._target.close()


class FileSink(Closing):
    """A file that gets its name by `publish` only; until then it is `.<name>.partial` beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._target = _Target(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    @property
    def direct(self) -> bool:
        return self._target.direct

    def write(self, offset: int, data: memoryview) -> None:
        self._target.write(offset, data)

    def sync(self) -> None:
        self._target.sync()

    def publish(self) -> None:
        """Rename to the final name, durably. Raises deploy-images."""
        try:
            os.rename(self._partial, self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise _failed(self._path, "renamed into place", error) from error

    def close(self) -> None:
        self._target.close()
        self._partial.unlink(missing_ok=True)


class NullSink:
    """Nowhere: for reading an image only to check it."""

    direct = False

    def write(self, offset: int, data: memoryview) -> None:
        """Forget it."""

    def sync(self) -> None:
        """Nothing to do."""


class MemorySink:
    """Memory, `size_bytes` of it."""

    direct = False
    MAX_BYTES = 16 * 1024 * 1024

    def __init__(self, size_bytes: int) -> None:
        if size_bytes > self.MAX_BYTES:
            raise TridentError(
                Kind.INVALID_INPUT,
                "corrupt-os-image",
                f"an image that is to be read into memory has {size_bytes} bytes",
                hint="a partition table has a few kilobytes: rebuild the image",
            )
        self.content = bytearray(size_bytes)

    def write(self, offset: int, data: memoryview) -> None:
        self.content[offset : offset + len(data)] = data

    def sync(self) -> None:
        """Nothing to do."""


def _check_capacity(path: Path, capacity: int, size_bytes: int, expected: int | None) -> None:
    if expected is not None and capacity != expected:
        raise TridentError(
            Kind.SERVICING,
            "deploy-images",
            f"{path} has {capacity} bytes, {expected} were expected: it is not the planned device",
            hint="check whether disks were swapped or repartitioned meanwhile, then start again",
        )
    if size_bytes > capacity:
        raise TridentError(
            Kind.INVALID_INPUT,
            "filesystem-size-exceeds-block-device",
            f"the image has {size_bytes} bytes, {path} only {capacity}",
            hint="make the partition larger in the Host Configuration",
        )


def _failed(path: Path, action: str, error: OSError) -> TridentError:
    hints = {
        errno.EBUSY: "it is mounted or held by RAID, encryption or LVM: release it first",
        errno.EIO: "the device reports an error: check the kernel log and replace the disk",
        errno.ENOSPC: "free some space there",
    }
    return TridentError(
        Kind.SERVICING,
        "deploy-images",
        f"{path} could not be {action}: {error.strerror or error}",
        hint=hints.get(error.errno or 0),
        fields={"target": str(path)},
    )
