"""The tables of errors and rules name exactly what the sources can raise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.api.catalogue import ERRORS
from agent.check import catalogue
from tests.kit.raised import errors, rules
from tests.kit.reference_tables import FOLDER, PAGES

BAD = Path(__file__).parents[2] / "data/hc/bad"
RULES = {*catalogue.GRAPH, *catalogue.STATIC, *catalogue.WARNINGS, *catalogue.DYNAMIC}
COMPUTED = {
    "agent/api/load.py",
    "agent/check/findings.py",
    "agent/servicing/booted.py",
    "agent/subsystems/scripts.py",
    "bootserver/app.py",
    "bootserver/documents.py",
}
"""Modules that make errors with codes from elsewhere."""


def test_every_error_that_is_raised_is_in_the_table() -> None:
    known = {code: kind for kind, codes in ERRORS.items() for code in codes}
    for raised in errors():
        if raised.code is not None:
            assert raised.code in known, raised
            assert raised.kind in (None, known[raised.code].name), raised


def test_codes_are_computed_in_known_places_only() -> None:
    computed = {raised.place.partition(":")[0] for raised in errors() if raised.code is None}
    assert computed == COMPUTED


def test_every_rule_that_is_named_is_in_a_table() -> None:
    for raised in rules():
        assert raised.code is not None
        is_guid = raised.code[:8].isalnum() and raised.code[0].isdigit()
        known = raised.code in RULES or any(raised.code in codes for codes in ERRORS.values())
        assert known or is_guid, raised


def test_no_table_names_what_is_not_raised() -> None:
    raised = {item.code for item in [*errors(), *rules()]}
    tables = {code for codes in ERRORS.values() for code in codes} | RULES
    assert tables - raised == set()


def test_every_rule_of_documents_is_broken_by_a_document() -> None:
    expectations = [json.loads(path.read_text()) for path in BAD.glob("*.json")]
    broken = {code for e in expectations for code in (e["code"], *e.get("also", ()))}
    assert (catalogue.GRAPH.keys() | catalogue.STATIC.keys()) - broken == set()


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_up_to_date(name: str) -> None:
    message = "run: python -m tests.kit.reference_tables"
    assert (FOLDER / name).read_text() == PAGES[name](), message
