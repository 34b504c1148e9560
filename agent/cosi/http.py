"""Objects on HTTP servers, read by byte ranges (RFC 9110 section 14) and resumed when they drop.

The first request already asks for a range: a server that cannot serve ranges, or an object that
is not there, is found before anything else happens. Size, ETag and Last-Modified are pinned then;
an object that changes later is an error, never a mixture. Failures that can pass (connections,
timeouts, 408, 425, 429, 5xx) are retried while there is progress; all others fail at once.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.cosi.closing import Closing
from agent.cosi.http_policy import (
    ContentRange,
    Passing,
    Patience,
    check_status,
    parse_content_range,
    redact,
    unusable,
)
from agent.cosi.http_request import Exchange, Timeouts, get_range

HEAD_BYTES = 64 * 1024
"""What the first request fetches and keeps: headers and metadata of most images."""


@dataclass(frozen=True)
class HttpLimits:
    """Times in seconds; the patiences bound the time without progress, while opening and later."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 30
    open_patience_s: float = 60
    stall_timeout_s: float = 600


@dataclass(frozen=True)
class _Version:
    """What identifies the object's version. None: the server does not say."""

    size: int
    etag: str | None
    modified: str | None

    def __str__(self) -> str:
        return f"{self.size} bytes, ETag {self.etag}, modified {self.modified}"

    def contradicts(self, other: _Version) -> bool:
        return self.size != other.size or any(
            mine is not None and theirs is not None and mine != theirs
            for mine, theirs in ((self.etag, other.etag), (self.modified, other.modified))
        )


class HttpSource(Closing):
    """An object on a server that serves ranges; opening it proves both."""

    def __init__(self, url: str, limits: HttpLimits | None = None) -> None:
        self._target = url
        self._limits = limits or HttpLimits()
        self._version: _Version | None = None
        self._head = b""
        reader = _HttpRange(self, 0, HEAD_BYTES, self._limits.open_patience_s)
        try:
            self._head = reader.read_all()
        finally:
            reader.close()

    @property
    def url(self) -> str:
        return redact(self._target)

    @property
    def size(self) -> int:
        return self._version.size if self._version else 0

    def read_at(self, offset: int, length: int) -> bytes:
        self._check_bounds(offset, length)
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with self.open_range(offset, length) as reader:
            return reader.read_all()

    @contextmanager
    def open_range(self, offset: int, length: int) -> Iterator[_HttpRange]:
        self._check_bounds(offset, length)
        reader = _HttpRange(self, offset, length, self._limits.stall_timeout_s)
        try:
            yield reader
        finally:
            reader.close()

    def close(self) -> None:
        """Nothing stays open between ranges."""

    def _check_bounds(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise unusable(self.url, f"it has no bytes {offset}..{offset + length - 1}")

    def _request(self, first: int, last: int) -> tuple[Exchange, ContentRange]:
        """One attempt to open bytes `first..last`, or the front part of them."""
        limits = self._limits
        timeouts = Timeouts(limits.connect_timeout_s, limits.read_timeout_s)
        found = get_range(self._target, first, last, timeouts)
        try:
            return found, self._check_answer(found.response, first, last)
        except BaseException:
            found.close()
            raise

    def _check_answer(
        self, response: http.client.HTTPResponse, first: int, last: int
    ) -> ContentRange:
        headers = response.headers
        check_status(response.status, headers, self.url, time.time())
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            raise unusable(self.url, f"the server sends it with Content-Encoding {encoding!r}")
        found = parse_content_range(headers.get("Content-Range"))
        if found is None or found.first != first or found.last > last:
            raise unusable(
                self.url,
                f"asked for bytes {first}-{last}, the server answered with Content-Range "
                f"{headers.get('Content-Range')!r}",
                "this server does not serve byte ranges correctly: use another one",
            )
        version = _Version(found.total, headers.get("ETag"), headers.get("Last-Modified"))
        if self._version is None:
            self._version = version
        elif self._version.contradicts(version):
            raise unusable(
                self.url,
                f"it changed on the server while it was read: {self._version}; now {version}",
                "give a new image a new name instead of replacing one; then start again",
            )
        return found


class _HttpRange:
    """A range that survives dropped connections. One thread reads, any thread may cancel."""

    def __init__(self, source: HttpSource, offset: int, length: int, patience_s: float) -> None:
        self._source = source
        self._next = offset
        self._end = offset + length
        self._patience = Patience(patience_s)
        self._exchange: Exchange | None = None
        self._answer_end = offset
        self._cancelled = threading.Event()

    def readinto(self, buffer: memoryview) -> int:
        while self._next < self._end and len(buffer):
            if self._cancelled.is_set():
                raise unusable(self._source.url, "reading was cancelled")
            started = time.monotonic()
            try:
                count = self._receive(buffer)
                self._patience.received(count, time.monotonic() - started)
                self._next += count
            except (OSError, http.client.HTTPException, Passing) as error:
                self.close()
                elapsed_s = time.monotonic() - started
                self._cancelled.wait(self._patience.failed(error, elapsed_s, self._source.url))
                continue
            return count
        return 0

    def read_all(self) -> bytes:
        """The whole range; shorter only if the object ends before it."""
        data = bytearray(self._end - self._next)
        view = memoryview(data)
        done = 0
        while count := self.readinto(view[done:]):
            done += count
        return bytes(view[:done])

    def cancel(self) -> None:
        self._cancelled.set()
        current = self._exchange
        if current is not None:
            current.interrupt()

    def close(self) -> None:
        current, self._exchange = self._exchange, None
        if current is not None:
            current.close()

    def _receive(self, buffer: memoryview) -> int:
        """At least one byte, through the connection at hand or a new one."""
        if self._next == self._answer_end:
            self.close()
        current = self._exchange or self._open()
        count = current.readinto(buffer[: self._answer_end - self._next])
        if count == 0:
            raise ConnectionError(f"the server closed the connection at byte {self._next}")
        return count

    def _open(self) -> Exchange:
        self._exchange, answer = self._source._request(self._next, self._end - 1)
        self._answer_end = answer.last + 1
        self._end = min(self._end, answer.total)
        if self._cancelled.is_set():  # `cancel` may have come before there was a socket to wake
            self._exchange.interrupt()
        return self._exchange
