from __future__ import annotations

from email.message import Message
from email.utils import formatdate

import pytest

from agent.api.errors import TridentError
from agent.cosi.http_policy import (
    PROGRESS_BYTES,
    ContentRange,
    Passing,
    Patience,
    check_status,
    clock_looks_wrong,
    parse_content_range,
    redact,
    retry_after_s,
)

NOW_S = 1_800_000_000.0
URL = "http://server/image.cosi"


def patience(limit_s: float) -> Patience:
    """One that always waits as long as it may."""
    return Patience(limit_s, jitter=lambda _low, high: high)


def test_content_range_is_read_when_complete() -> None:
    assert parse_content_range(" bytes 5-9/10 ") == ContentRange(5, 9, 10)
    for value in (None, "", "bytes 5-10/10", "bytes 9-5/10", "bytes */10", "bytes 1-2/*", "x"):
        assert parse_content_range(value) is None


def test_retry_after_is_seconds_or_a_date_within_bounds() -> None:
    assert retry_after_s("7", NOW_S) == 7
    assert retry_after_s(formatdate(NOW_S + 30, usegmt=True), NOW_S) == 30
    assert retry_after_s(formatdate(NOW_S - 30, usegmt=True), NOW_S) == 0
    assert retry_after_s("86400", NOW_S) == 120
    for value in (None, "", "soon", "-5", "9" * 30):
        assert retry_after_s(value, NOW_S) == 0


def test_a_status_that_passes_carries_the_time_to_wait() -> None:
    headers = Message()
    headers["Retry-After"] = "9"
    with pytest.raises(Passing) as caught:
        check_status(503, headers, URL, NOW_S)
    assert caught.value.after_s == 9


def test_waits_double_up_to_a_bound() -> None:
    waiting = patience(1e6)
    delays = [waiting.failed(OSError("down"), 0, URL) for _ in range(9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


def test_waits_are_spread_between_half_and_all() -> None:
    assert 0.05 <= Patience(10).failed(OSError(), 0, URL) <= 0.1


def test_the_server_may_ask_for_a_longer_wait() -> None:
    assert patience(100).failed(Passing("busy", 30), 0, URL) == 30


def test_waits_count_and_the_last_error_is_told() -> None:
    waiting = patience(1.0)
    waiting.failed(OSError("first"), 0.5, URL)
    assert waiting.failed(Passing("busy", 60), 0, URL) == pytest.approx(0.4)
    with pytest.raises(TridentError, match="no progress for 1 s, last: down"):
        waiting.failed(OSError("down"), 0, URL)


def test_progress_renews_the_patience_and_a_trickle_does_not() -> None:
    waiting = patience(10)
    waiting.received(PROGRESS_BYTES - 1, 9)
    waiting.received(1, 0)
    assert waiting.failed(OSError(), 9, URL) == 0.1
    trickle = patience(100)
    trickle.received(100, 59)
    with pytest.raises(Passing, match="only 3 bytes/s"):
        trickle.received(100, 2)


def test_time_the_reader_takes_itself_does_not_count() -> None:
    waiting = patience(10)
    for _ in range(1000):
        waiting.received(10, 0.0)
    assert waiting.failed(OSError(), 0, URL) == 0.1


def test_messages_hold_neither_credentials_nor_queries() -> None:
    assert redact("https://user:pw@host:1/a/b?sig=x#y") == "https://host:1/a/b?..."
    assert redact("http://host/a") == "http://host/a"


def test_a_clock_before_this_software_looks_wrong() -> None:
    assert clock_looks_wrong(0)
    assert not clock_looks_wrong(NOW_S)
