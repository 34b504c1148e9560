"""The rules of the house that a machine can hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("agent", "bootserver", "installer", "iso_builder", "lab", "tests")
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "__pycache__" not in path.parts
)
FORBIDDEN_NAMES = {"utils", "util", "helpers", "manager", "common", "base", "misc"}


def test_there_are_sources_to_judge() -> None:
    assert len(SOURCES) > 30


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_longer_than_600_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


def test_module_names_are_nouns_of_the_domain() -> None:
    assert [str(p) for p in SOURCES if p.stem in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.relative_to(ROOT).parts[0] != "tests" and p.read_text().strip()],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
