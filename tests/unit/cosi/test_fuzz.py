"""A short fuzzing campaign in every test run; the long one is `python -m tests.fuzz.fuzz_cosi`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import cosi_inputs, fuzz_cosi


@pytest.mark.parametrize("name", sorted(cosi_inputs.valid_files()))
def test_the_seeds_are_valid(name: str) -> None:
    assert fuzz_cosi.accepts((cosi_inputs.FOLDER / name).read_bytes())
    assert fuzz_cosi.accepts(cosi_inputs.valid_files()[name])


def test_mutated_files_neither_crash_nor_hang_the_reader(tmp_path: Path) -> None:
    cosi, uki, lines = fuzz_cosi.run(1000, 7, tmp_path / "finding.bin")
    assert 0.05 < cosi.accepted / cosi.count < 0.5
    assert 0.2 < uki.accepted / uki.count < 0.8
    assert lines.share > 0.8
