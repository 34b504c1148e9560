"""Documents one edit away from a valid one: what the first finding must be, by upstream's rules.

`NAME.expect.json`: `code`, `path` and `line` of the first error; `also`, codes that come with it;
`rule`, where the expectation comes from; `undo`, the edit that makes the document valid.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.check.findings import errors
from agent.check.validate import examine

FOLDER = Path(__file__).parents[2] / "data/hc/bad"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.expect.json").read_text())
    return found


def test_there_are_many_documents_each_with_an_expectation() -> None:
    assert len(NAMES) >= 150
    assert sorted(p.name.removesuffix(".expect.json") for p in FOLDER.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_first_error_is_the_one_of_the_broken_rule(name: str) -> None:
    expect = expected(name)
    found = errors(examine((FOLDER / f"{name}.yaml").read_text()))
    assert (found[0].code, found[0].path, found[0].line) == tuple(
        expect[key] for key in ("code", "path", "line")
    )
    assert set(expect.get("also", ())) <= {finding.code for finding in found}
    assert expect["rule"]


@pytest.mark.parametrize("name", NAMES)
def test_undoing_the_edit_makes_the_document_valid(name: str) -> None:
    undo = expected(name)["undo"]
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.count(undo["replace"]) == 1
    assert errors(examine(text.replace(undo["replace"], undo["with"]))) == []
