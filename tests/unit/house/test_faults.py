"""docs/reference/faults.md names tests that exist and say which fault they show."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/reference/faults.md"
_ROW = re.compile(r"\| (F\d\d) \|.*\| (.+) \|")
_FAULT_IN_NAME = re.compile(r"def test_(f\d\d)_")
WANTED = {
    *(f"F{number:02}" for number in range(1, 11)),
    *("F13", "F14", "F15", "F18", "F24", "F43", "F44", "F45", "F46"),
    *("F55", "F56", "F57", "F58", "F59", "F60", "F63", "F65", "F66"),
}


def rows() -> dict[str, list[str]]:
    """The tests of each fault."""
    found = _ROW.findall(PAGE.read_text())
    return {fault: re.findall(r"`([^`]+)`", tests) for fault, tests in found}


def says(reference: str) -> str | None:
    """Name and docstring of a test, the comments of a scenario; None when there is no such."""
    name, _, test = reference.partition("::")
    file = ROOT / name
    if not file.is_file():
        return None
    if not test:
        return "\n".join(line for line in file.read_text().splitlines() if line.startswith("#"))
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == test:
            return f"{node.name} {ast.get_docstring(node) or ''}"
    return None


def test_every_fault_that_is_promised_is_in_the_table() -> None:
    assert set(rows()) >= WANTED


@pytest.mark.parametrize(
    ("fault", "reference"), [(fault, test) for fault, tests in rows().items() for test in tests]
)
def test_a_test_named_there_exists_and_says_whose_it_is(fault: str, reference: str) -> None:
    said = says(reference)
    assert said is not None, f"{reference} does not exist"
    assert fault.lower() in re.findall(r"f\d\d", said.lower()), f"{reference} does not say {fault}"


def test_a_fault_that_a_test_bears_in_its_name_is_in_the_table() -> None:
    files = [*ROOT.glob("tests/unit/**/test_*.py"), *ROOT.glob("tests/tools/**/test_*.py")]
    named = {fault for file in files for fault in _FAULT_IN_NAME.findall(file.read_text())}
    assert {fault.upper() for fault in named} <= set(rows())


def test_the_check_finds_what_is_missing() -> None:
    assert says("tests/unit/house/test_faults.py::test_that_is_not_there") is None
    assert says("tests/vm/scenarios/no-such.yaml") is None
