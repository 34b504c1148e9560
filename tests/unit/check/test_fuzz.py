"""A short fuzzing campaign in every run; the long one is `python -m tests.fuzz.fuzz_contract`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzz.fuzz_contract import (
    SCALARS,
    TEXTS,
    documents,
    take_document,
    take_scalar,
    take_text,
    valid_documents,
)
from tests.fuzz.mutate import campaign, mutants


@pytest.mark.parametrize(
    ("inputs", "take", "count"),
    [
        pytest.param(documents(valid_documents(), 7), take_document, 250, id="documents"),
        pytest.param(mutants(TEXTS, 7, 512), take_text, 3000, id="texts"),
        pytest.param(mutants(SCALARS, 7, 64), take_scalar, 3000, id="scalars"),
    ],
)
def test_mutants_neither_crash_nor_hang_the_contract(
    inputs: Iterator[bytes], take: Callable[[bytes], bool], count: int, tmp_path: Path
) -> None:
    outcome = campaign(inputs, take, count, limit_s=10, keep=tmp_path / "finding.bin")
    assert outcome.count == count
    assert 0.02 < outcome.accepted / count < 0.5
