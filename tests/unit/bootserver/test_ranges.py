"""The Range header, against RFC 9110 section 14."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootserver.http.ranges import Part, Selection, Unsatisfiable, Whole, select


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Whole()),
        ("bytes=0-99", Part(0, 100)),
        ("bytes=10-", Part(10, 990)),
        ("bytes=0-", Part(0, 1000)),
        ("bytes=999-999", Part(999, 1)),
        ("bytes=999-5000", Part(999, 1)),
        ("bytes=-1", Part(999, 1)),
        ("bytes=-5000", Part(0, 1000)),
        ("BYTES=0-0", Part(0, 1)),
        ("bytes=1000-", Unsatisfiable()),
        ("bytes=1000-1001", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=5-4", Whole()),
        ("bytes=-", Whole()),
        ("bytes=0-1,5-6", Whole()),
        ("lines=0-1", Whole()),
        ("bytes=a-b", Whole()),
        ("bytes=١-٢", Whole()),
        ("bytes=" + "9" * 40 + "-", Whole()),
        ("", Whole()),
    ],
)
def test_a_header_selects_what_the_rfc_says(header: str | None, expected: Selection) -> None:
    assert select(header, 1000) == expected


def test_nothing_of_an_empty_file_can_be_selected() -> None:
    assert select("bytes=0-", 0) == Unsatisfiable()
    assert select("bytes=-1", 0) == Unsatisfiable()


@given(st.text(max_size=40), st.integers(0, 1 << 62))
def test_a_selected_part_always_lies_inside_the_file(text: str, size: int) -> None:
    found = select(f"bytes={text}", size)
    if isinstance(found, Part):
        assert found.start >= 0
        assert found.length > 0
        assert found.start + found.length <= size
