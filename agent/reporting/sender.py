"""Delivers small JSON bodies to one URL: in order, from a background thread, never blocking work.

Each body is posted until the server takes it (2xx), so it arrives at least once; how long a dead
server is retried is the caller's choice of delays. When they run out, or the server refuses (4xx)
three bodies in a row, the origin is dropped for good. The queue is bounded: the oldest body gives
way. `close` waits a bounded time for what is queued.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit, urlunsplit

import requests

from agent.linux.interruption import held

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0
QUEUE_LIMIT = 2000
_REFUSALS_LIMIT = 3
_RETRIED_STATUSES = frozenset({408, 425, 429})

Delays = Callable[[], Iterable[float]]
"""Makes the waits (s) between the tries of one body; when they end, the origin is dropped."""


def forever() -> Iterator[float]:
    """From 0.25 s doubling to 10 s, without end."""
    delay_s = 0.25
    while True:
        yield delay_s
        delay_s = min(delay_s * 2, 10.0)


class Until:
    """Every 100 ms until `limit_s` seconds after this object was made, then no more."""

    def __init__(self, limit_s: float) -> None:
        self._end = time.monotonic() + limit_s

    def remaining_s(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def __call__(self) -> Iterator[float]:
        while self.remaining_s() > 0:
            yield 0.1


class Sender:
    """A background thread that posts queued bodies to `url`."""

    def __init__(self, url: str, delays: Delays, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self.url = url
        self._delays = delays
        self._timeout_s = timeout_s
        self._queue: deque[tuple[str, bytes]] = deque()
        self._changed = threading.Condition()
        self._stop_waiting = threading.Event()
        self._closing = False
        self._dead = False
        self._refusals = 0
        self._thread = threading.Thread(target=self._work, name="report-sender", daemon=True)
        self._thread.start()

    @property
    def dead(self) -> bool:
        """Whether the origin was dropped."""
        return self._dead

    def post(self, body: bytes, *, replaces: str = "") -> None:
        """Queue one JSON body. It takes the place of the last queued one of the same `replaces`."""
        with self._changed:
            if self._dead or self._closing:
                return
            if replaces and self._queue and self._queue[-1][0] == replaces:
                self._queue.pop()
            elif len(self._queue) >= QUEUE_LIMIT:
                self._queue.popleft()
            self._queue.append((replaces, body))
            self._changed.notify()

    def close(self, wait_s: float) -> bool:
        """Deliver what is queued for at most `wait_s` seconds; whether all of it went out."""
        with held(), self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(wait_s)
        self._dead = self._dead or self._thread.is_alive()
        self._stop_waiting.set()
        return not self._dead

    def _work(self) -> None:
        with requests.Session() as session:
            session.max_redirects = 0
            while (body := self._next()) is not None:
                if not self._deliver(session, body):
                    self._drop()
                    return

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                self._changed.wait()
            return self._queue.popleft()[1]

    def _deliver(self, session: requests.Session, body: bytes) -> bool:
        """Try one body until taken or refused; False when the origin is to be dropped."""
        delays = iter(self._delays())
        while not self._dead:
            status = self._try(session, body)
            if 200 <= status < 300:
                self._refusals = 0
                return True
            if 300 <= status < 500 and status not in _RETRIED_STATUSES:
                self._refusals += 1
                log.debug("%s answered %d to a report", shown(self.url), status)
                return self._refusals < _REFUSALS_LIMIT
            delay_s = next(delays, None)
            if delay_s is None:
                return False
            self._stop_waiting.wait(delay_s)
        return False

    def _try(self, session: requests.Session, body: bytes) -> int:
        """The status the server answered; 0 when it could not be reached."""
        try:
            response = session.post(
                self.url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError):
            return 0
        return response.status_code

    def _drop(self) -> None:
        with self._changed:
            self._dead = True
            self._queue.clear()
        log.debug("reports to %s are given up", shown(self.url))


def shown(url: str) -> str:
    """A URL without user names, passwords and query, fit for a log."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def sibling(phonehome_url: str, report: str) -> str | None:
    """The URL of another report of the same server; None when the URL does not say phonehome."""
    head, found, tail = phonehome_url.rpartition("phonehome")
    return f"{head}{report}{tail}" if found else None
