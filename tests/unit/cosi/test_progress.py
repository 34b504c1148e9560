"""What people and programs see of a long command."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from agent.api import events
from agent.api.errors import Kind, TridentError
from iso_builder.cosi.progress import Pace, Style, duration, meter

MIB = 2**20


def seen(style: Style) -> str:
    """What a stream that is no terminal gets of a step of ten MiB."""
    stream = io.StringIO()
    with meter(style, stream, "cosi-test") as shown:
        shown.note("a note")
        with shown.step("packing", "images/a") as report:
            report(5 * MIB, 10 * MIB)
            report(10 * MIB, 10 * MIB)
    return stream.getvalue()


@contextmanager
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A real terminal: the end that a program writes to, and the one that shows it."""
    shown, used = pty.openpty()
    with os.fdopen(used, "w", buffering=1) as stream:
        yield stream, shown
    os.close(shown)


def up_to_the_end_of_line(shown: int) -> str:
    """What a terminal was sent; the kernel hands it over in pieces."""
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(shown, 4096)
    return text.decode()


def test_a_file_gets_plain_lines_without_control_characters() -> None:
    lines = seen(Style.AUTO).splitlines()
    assert lines[0] == "a note"
    assert len(lines) == 2
    assert lines[1].startswith("packing images/a: 10.0 MiB in ")
    assert "\x1b" not in seen(Style.AUTO)
    assert "\r" not in seen(Style.AUTO)


def test_a_terminal_gets_a_bar_that_ends_as_a_line() -> None:
    with terminal() as (stream, shown):
        with (
            meter(Style.AUTO, stream, "cosi-test") as found,
            found.step("packing", "images/a") as report,
        ):
            report(10 * MIB, 10 * MIB)
        text = up_to_the_end_of_line(shown)
    assert "[....................]   0% packing images/a" in text
    assert text.endswith("\r\n")
    assert "10.0 MiB in" in text


def test_a_bar_stays_on_one_line_of_a_narrow_terminal() -> None:
    with terminal() as (stream, shown):
        termios.tcsetwinsize(shown, (24, 40))
        with (
            meter(Style.BARS, stream, "cosi-test") as found,
            found.step("packing", "images/" + "a" * 99),
        ):
            pass
        text = up_to_the_end_of_line(shown)
    drawn = [part for part in text.split("\r\x1b[K") if part]
    assert [len(part.rstrip("\r\n")) for part in drawn] == [39] * len(drawn)


def test_a_bar_shows_share_rate_and_time_left() -> None:
    now = 100.0
    pace = Pace(1.0, lambda: now)
    assert not pace.is_due()
    now = 104.0
    assert pace.is_due()
    assert not pace.is_due()
    assert pace.describe(256 * MIB, 1024 * MIB) == "256.0 of 1024.0 MiB, 64.0 MiB/s, 0:12 left"
    assert Pace(1.0, lambda: now).describe(0, MIB) == "0.0 of 1.0 MiB, 0.0 MiB/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (125, "2:05"), (3723, "1:02:03")]
)
def test_durations_read_as_clocks_show_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_programs_get_events_that_the_contract_parses() -> None:
    found = [events.parse_json(line) for line in seen(Style.JSON).splitlines()]
    assert [event.type for event in found] == [
        "operation-started",
        "step-started",
        "step-started",
        "step-progress",
        "step-done",
    ]
    assert {event.operation for event in found} == {"cosi-test"}
    assert [event.sequence for event in found] == [1, 2, 3, 4, 5]
    last = found[3]
    assert isinstance(last, events.StepProgress)
    assert (last.step, last.done_bytes, last.total_bytes) == ("images/a", 10 * MIB, 10 * MIB)


def test_programs_are_told_of_failures() -> None:
    stream = io.StringIO()
    error = TridentError(Kind.INVALID_INPUT, "corrupt-os-image", "it is broken", hint="mend it")
    with (
        pytest.raises(TridentError),
        meter(Style.JSON, stream, "cosi-test") as shown,
        shown.step("packing", "images/a"),
    ):
        raise error
    *_, failed, ended = (events.parse_json(line) for line in stream.getvalue().splitlines())
    assert isinstance(failed, events.StepFailed)
    assert isinstance(ended, events.OperationFailed)
    assert (ended.code, ended.hint) == ("corrupt-os-image", "mend it")


def test_silence_is_kept() -> None:
    assert seen(Style.NONE) == ""
