"""The reference of the Host Configuration and its schema say what the models say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
from pydantic import BaseModel

from agent.api import load, yamltext
from agent.api.hostconfig import HostConfiguration
from agent.api.schema import FILE
from tests.kit.reference import PAGE, page
from tests.kit.reference_examples import EXAMPLES
from tests.kit.schema import make, models, text

EDITOR = Path(__file__).parents[3] / "docs/how-to/editor.md"
VALIDATOR = jsonschema.Draft202012Validator(make())


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.kit.reference"


def test_the_schema_is_up_to_date() -> None:
    assert FILE.read_text() == text(), "run: python -m tests.kit.schema"


def test_every_section_has_an_example() -> None:
    assert set(EXAMPLES) == {model.__name__ for model in models(HostConfiguration)}


def parts(value: object) -> Iterator[str]:
    """Names of the models inside a value that a document sets."""
    if isinstance(value, BaseModel):
        yield type(value).__name__
        for name in value.model_fields_set:
            yield from parts(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from (name for item in value.values() for name in parts(item))
    elif isinstance(value, tuple):
        yield from (name for item in value for name in parts(item))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_and_shows_its_section(name: str) -> None:
    assert name in set(parts(load.load(EXAMPLES[name])))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_conforms_to_the_schema(name: str) -> None:
    assert list(VALIDATOR.iter_errors(yamltext.parse(EXAMPLES[name]).value)) == []


def test_the_document_of_the_how_to_is_valid() -> None:
    _, _, rest = EDITOR.read_text().partition("   ```yaml\n")
    block = dedent(rest.partition("   ```")[0])
    first = block.partition("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert load.load(block).image is not None
