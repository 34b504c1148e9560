"""What a medium brings for the live system, as files of the medium and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.medium import overlay, provisions
from agent.medium.provisions import LiveFile, Provisions

MAYBE = st.none() | st.binary(min_size=1, max_size=40)
PATHS = st.from_regex(r"(/[a-zA-Z0-9._@%\- ]{1,40}){1,4}", fullmatch=True)
LIVE = st.builds(LiveFile, st.binary(max_size=40), st.integers(0, 0o777))
ALL = st.builds(Provisions, MAYBE, MAYBE, MAYBE, st.dictionaries(PATHS, LIVE, max_size=3))


@given(ALL)
def test_what_is_put_on_a_medium_is_found_there(brought: Provisions) -> None:
    area = overlay.encode(brought.on_medium(), 1 << 16)
    assert provisions.found(overlay.decode(area)) == brought


@given(ALL, ALL)
def test_later_ones_win_and_other_files_stay(earlier: Provisions, later: Provisions) -> None:
    other = {"trident/config.yaml": b"x", "menu.json": b"{}"}
    merged = provisions.laid_over({**other, **earlier.on_medium()}, later)
    assert other.items() <= merged.items()
    assert provisions.found(merged) == later.over(earlier)


def test_a_file_that_comes_again_with_another_mode_is_there_once() -> None:
    first = Provisions(files={"/usr/bin/x": LiveFile(b"1", 0o644)})
    again = Provisions(files={"/usr/bin/x": LiveFile(b"2", 0o755)})
    names = provisions.laid_over(first.on_medium(), again)
    assert dict(names) == {"trident/files/0755-usr%2Fbin%2Fx": b"2"}


def test_everything_is_described() -> None:
    brought = Provisions(b"#!/bin/sh\n", b"n", b"c", {"/etc/x": LiveFile(b"12", 0o600)})
    assert dict(brought.describe()) == {
        "script": "10 bytes",
        "network": "1 bytes",
        "authority": "1 bytes",
        "file": "/etc/x (mode 0600, 2 bytes)",
    }
