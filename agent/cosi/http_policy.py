"""What an HTTP answer means for a download: go on, try again, or give up. Pure.

RFC 9110: 14.4 (Content-Range), 15 (status codes), 10.2.3 (Retry-After).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit, urlunsplit

from agent.api.errors import Kind, TridentError

MAX_REDIRECTS = 8
PROGRESS_BYTES = 64 * 1024
"""Receiving this much counts as progress and renews the patience."""

_RATE_WINDOW_S = 60.0
_RATE_BYTES_PER_S = 1024
_BACKOFF_BASE_S = 0.1
_BACKOFF_LIMIT_S = 10.0
_RETRY_AFTER_LIMIT_S = 120.0
_OLDEST_PLAUSIBLE_S = 1_735_689_600.0  # 2025-01-01
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


class Passing(Exception):
    """A failure that may pass; the server may have said when to come back."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


@dataclass(frozen=True)
class ContentRange:
    """Bytes `first` to `last` (inclusive) of an object of `total` bytes."""

    first: int
    last: int
    total: int


def parse_content_range(value: str | None) -> ContentRange | None:
    """The range an answer holds; None unless it is complete and makes sense."""
    match = _CONTENT_RANGE.fullmatch(value.strip()) if value else None
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return ContentRange(first, last, total) if first <= last < total else None


def check_status(status: int, headers: Message, url: str, now_s: float) -> None:
    """Pass only a 206. Raises Passing or load-cosi; `now_s` is the time since the epoch."""
    if status == 206:
        return
    if status in _PASSING or (status >= 500 and status not in (501, 505)):
        after_s = retry_after_s(headers.get("Retry-After"), now_s)
        raise Passing(f"the server answered {status}", after_s)
    if status == 200:
        raise unusable(
            url,
            "the server ignores ranges (it answered 200 to a range request)",
            "serve images by a server that supports byte ranges, "
            "nginx or trident-bootserver for example",
        )
    if status == 416:
        raise unusable(url, "it is empty or became shorter on the server (416)")
    hints = {
        401: "the server wants credentials",
        403: "the server refuses access",
        404: "check image.url and what the server publishes",
        407: "the proxy wants credentials",
    }
    raise unusable(url, f"the server answered {status}", hints.get(status))


def is_redirect(status: int) -> bool:
    return status in _REDIRECTS


def redirected(url: str, location: str | None) -> str:
    """The absolute URL a redirect leads to. Raises load-cosi."""
    try:
        target = urljoin(url, location or "")
        parts = urlsplit(target)
    except ValueError:
        raise unusable(url, f"the server redirects to {location!r}: refused") from None
    scheme = parts.scheme
    if not location or scheme not in ("http", "https") or not parts.hostname:
        raise unusable(url, f"the server redirects to {redact(target)!r}: refused")
    if urlsplit(url).scheme == "https" and scheme == "http":
        raise unusable(url, f"the server redirects from https to http ({redact(target)}): refused")
    return target


def retry_after_s(value: str | None, now_s: float) -> float:
    """Seconds to wait by a Retry-After header (seconds or a date), 0 to 120."""
    if not value:
        return 0.0
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), _RETRY_AFTER_LIMIT_S)
    try:
        date_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(date_s - now_s, 0.0), _RETRY_AFTER_LIMIT_S)


def redact(url: str) -> str:
    """`url` without credentials and query, for messages."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "..." if parts.query else "", ""))


def unusable(url: str, why: str, hint: str | None = None) -> TridentError:
    """The error of an image that cannot be read from where it is."""
    return TridentError(
        Kind.INVALID_INPUT,
        "load-cosi",
        f"the image {redact(url)} cannot be read: {why}",
        hint=hint or "check image.url and the server it names",
        fields={"url": redact(url)},
    )


class Patience:
    """How long to go on without progress. Counts only time spent waiting for the server.

    A reader that is slow itself therefore never runs out of it, and a server that trickles bytes
    does: less than 1 KiB/s over a minute counts as a dropped connection.
    """

    def __init__(
        self, limit_s: float, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._limit_s = limit_s
        self._jitter = jitter
        self._spent_s = 0.0
        self._failures = 0
        self._fresh_bytes = 0
        self._window_s = 0.0
        self._window_bytes = 0

    def received(self, count: int, seconds: float) -> None:
        """Account for `count` bytes that took `seconds`. Raises Passing when it is too slow."""
        self._spent_s += seconds
        self._fresh_bytes += count
        if self._fresh_bytes >= PROGRESS_BYTES:
            self._spent_s, self._fresh_bytes, self._failures = 0.0, 0, 0
        self._window_s += seconds
        self._window_bytes += count
        if self._window_s >= min(_RATE_WINDOW_S, self._limit_s):
            rate = self._window_bytes / self._window_s
            self._window_s, self._window_bytes = 0.0, 0
            if rate < _RATE_BYTES_PER_S:
                raise Passing(f"the server sends only {rate:.0f} bytes/s")

    def failed(self, error: Exception, seconds: float, url: str) -> float:
        """Account for a failed attempt that took `seconds`; seconds to wait before the next.

        Raises load-cosi when the limit is reached.
        """
        self._window_s, self._window_bytes = 0.0, 0
        self._spent_s += seconds
        self._failures += 1
        if self._spent_s >= self._limit_s:
            why = str(error) or type(error).__name__
            raise unusable(
                url,
                f"no progress for {self._spent_s:.0f} s, last: {why}",
                "check that the server runs and can be reached from this machine",
            ) from error
        backoff_s = min(_BACKOFF_BASE_S * 2 ** min(self._failures - 1, 16), _BACKOFF_LIMIT_S)
        delay_s = self._jitter(backoff_s / 2, backoff_s)
        if isinstance(error, Passing):
            delay_s = max(delay_s, error.after_s)
        delay_s = min(delay_s, max(self._limit_s - self._spent_s, 0.0))
        self._spent_s += delay_s
        return delay_s


def clock_looks_wrong(now_s: float) -> bool:
    """Whether `now_s` (since the epoch) lies before this software existed."""
    return now_s < _OLDEST_PLAUSIBLE_S
