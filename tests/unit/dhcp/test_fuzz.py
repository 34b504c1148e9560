"""A short fuzzing campaign in every test run; the long one is `python -m tests.fuzz.fuzz_dhcp`."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.fuzz_dhcp import run


def test_mutated_requests_neither_crash_nor_hang_the_server(tmp_path: Path) -> None:
    outcome, lines = run(2000, 7, tmp_path / "finding.bin")
    assert outcome.count == 2000
    assert 0.2 < outcome.accepted / outcome.count < 0.9
    assert lines.share > 0.8
