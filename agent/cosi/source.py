"""Where image bytes come from: random access by byte range, whatever the transport.

`open_source` picks the transport by the URL's scheme. A source is opened once, knows the size of
its object, and notices when the object changes under it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit

from agent.api.errors import Kind, TridentError
from agent.cosi.closing import Closing
from agent.cosi.http import HttpLimits, HttpSource


class RangeReader(Protocol):
    """A stretch of an object, read front to back."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of `buffer`; the number of bytes, 0 only at the end of the range.

        A dropped connection is resumed at the next byte without the caller noticing.
        Raises load-cosi.
        """
        ...

    def cancel(self) -> None:
        """Make a `readinto` under way in another thread fail soon."""
        ...


class Source(Protocol):
    """An object of known size that can be read at any place. A context manager."""

    @property
    def url(self) -> str:
        """The URL, without credentials and query: fit for messages."""
        ...

    @property
    def size(self) -> int:
        """Size of the object in bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`; for small control reads. Raises load-cosi."""
        ...

    def open_range(self, offset: int, length: int) -> AbstractContextManager[RangeReader]:
        """Open `length` bytes at `offset` for streaming. Raises load-cosi."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_source(
    url: str,
    *,
    connect_timeout_s: float = 10,
    read_timeout_s: float = 30,
    open_patience_s: float = 60,
    stall_timeout_s: float = 600,
) -> Source:
    """Open the object behind a `file:`, `http:` or `https:` URL.

    `open_patience_s` bounds how long an unreachable server is retried now, `stall_timeout_s` how
    long a download may stay without progress later.
    Raises load-cosi, unsupported-configuration.
    """
    match _scheme(url):
        case "file":
            return FileSource(_local_path(url))
        case "http" | "https":
            return HttpSource(
                url,
                HttpLimits(
                    connect_timeout_s=connect_timeout_s,
                    read_timeout_s=read_timeout_s,
                    open_patience_s=open_patience_s,
                    stall_timeout_s=stall_timeout_s,
                ),
            )
        case scheme:
            raise TridentError(
                Kind.UNSUPPORTED_CONFIGURATION,
                "image-url-scheme",
                f"images cannot be read from '{scheme}:' URLs",
                hint="use a file:, http: or https: URL",
            )


def probe(url: str, *, patience_s: float = 15) -> int:
    """Prove that the object is there and can be read by ranges; its size in bytes.

    Raises load-cosi, unsupported-configuration.
    """
    with open_source(url, open_patience_s=patience_s) as source:
        return source.size


class FileSource(Closing):
    """A file of this host."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error

    @property
    def url(self) -> str:
        return self._path.absolute().as_uri()

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        view = memoryview(data)
        done = 0
        while done < length:
            done += self._read_some(view[done:], offset + done)
        return bytes(data)

    @contextmanager
    def open_range(self, offset: int, length: int) -> Iterator[RangeReader]:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise _unreadable(self._path, f"it has no bytes {offset}..{offset + length - 1}")
        yield _FileRange(self, offset, length)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_some(self, view: memoryview, offset: int) -> int:
        """At least one byte. Raises load-cosi at the end of the file, which was longer once."""
        try:
            count = os.preadv(self._fd, [view], offset)
        except OSError as error:
            raise _unreadable(self._path, error.strerror or str(error)) from error
        if count == 0:
            raise _unreadable(self._path, f"it ends at byte {offset}")
        return count


class _FileRange:
    def __init__(self, source: FileSource, offset: int, length: int) -> None:
        self._source = source
        self._next = offset
        self._end = offset + length

    def readinto(self, buffer: memoryview) -> int:
        want = min(len(buffer), self._end - self._next)
        if want == 0:
            return 0
        count = self._source._read_some(buffer[:want], self._next)
        self._next += count
        return count

    def cancel(self) -> None:
        """Reads of a file end by themselves."""


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "load-cosi",
            f"{url!r} is no valid URL: {error}",
            hint="use a file:, http: or https: URL",
        ) from error


def _local_path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise TridentError(
            Kind.INVALID_INPUT,
            "load-cosi",
            f"{url!r} does not name a local file",
            hint="write file:///absolute/path",
        )
    return Path(path)


def _unreadable(path: Path, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "load-cosi",
        f"the image {path} cannot be read: {why}",
        hint="check the path in image.url",
        fields={"url": str(path)},
    )
