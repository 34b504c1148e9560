"""Our JSON Schema against the samples, and field by field against upstream's schema."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.api import load, yamltext
from agent.api.dump import to_plain
from agent.api.schema import json_schema

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "data" / "conformance" / "host-configuration"
SAMPLES = sorted((FOLDER / "valid").glob("*.yaml"))
UPSTREAM: dict[str, Any] = json.loads((FOLDER / "host-config-schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
DIFFERENCES = ROOT / "docs" / "reference" / "schema-differences.md"
FREE_FORM = ("netplan", "internalParams")
Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    required: bool
    words: frozenset[str]
    """The words that an enumerated field can have."""


NOTHING = Field(False, frozenset())
MANY = 6


def _resolve(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The schema's alternatives and parts, references followed."""
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield from _resolve(target, root)
    else:
        yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, ()):
            yield from _resolve(part, root)


def _fields(schema: Schema, root: Schema, path: str = "") -> dict[str, Field]:
    """Every field of a document, by its path. Alternatives are merged."""
    parts = list(_resolve(schema, root))
    required = {name for part in parts for name in part.get("required", ())}
    found: dict[str, Field] = {}
    for part in parts:
        for name, below in part.get("properties", {}).items():
            here = f"{path}.{name}".removeprefix(".")
            words = frozenset(_words(below, root)) | found.get(here, NOTHING).words
            found[here] = Field(name in required, words)
            if name not in FREE_FORM:
                found |= _fields(below, root, here)
        if isinstance(part.get("items"), dict):
            found |= _fields(part["items"], root, f"{path}[]")
    return found


def _words(schema: Schema, root: Schema) -> Iterator[str]:
    for part in _resolve(schema, root):
        words = [*part.get("enum", ()), *([part["const"]] if "const" in part else [])]
        yield from (word for word in words if isinstance(word, str))
        if isinstance(part.get("items"), dict):
            yield from _words(part["items"], root)


def _only(some: dict[str, Field], others: dict[str, Field]) -> set[str]:
    """Paths that `others` lacks, without those below such a path."""
    lacking = some.keys() - others.keys()
    return {path for path in lacking if path.rpartition(".")[0] not in lacking}


def _words_differ(mine: frozenset[str], other: frozenset[str]) -> str:
    changes = [f"+{word}" for word in mine - other] + [f"-{word}" for word in other - mine]
    if len(changes) > MANY:
        return f"{len(mine)} words here, {len(other)} other words upstream"
    return f"words {' '.join(sorted(changes))}"


def differences() -> set[str]:
    """One line for each difference between the two schemas."""
    ours, theirs = (_fields(schema, schema) for schema in (json_schema(), UPSTREAM))
    found = {f"`{path}`: only here" for path in _only(ours, theirs)}
    found |= {f"`{path}`: only upstream" for path in _only(theirs, ours)}
    for path in ours.keys() & theirs.keys():
        mine, other = ours[path], theirs[path]
        if mine.required != other.required:
            found.add(f"`{path}`: required only {'here' if mine.required else 'upstream'}")
        if mine.words != other.words:
            found.add(f"`{path}`: {_words_differ(mine.words, other.words)}")
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_conform_to_our_schema(sample: Path) -> None:
    VALIDATOR.validate(yamltext.parse(sample.read_bytes()).value)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_what_we_dump_conforms_to_our_schema(sample: Path) -> None:
    VALIDATOR.validate(to_plain(load.load_file(sample)))


@pytest.mark.parametrize(
    "text",
    [
        "storge: {}",
        "os: {hostname: 5}",
        "scripts: {postConfigure: [{name: x}]}",
        "scripts: {postConfigure: [{content: x, path: /x}]}",
        "storage: {swap: [{id: x}]}",
    ],
)
def test_our_schema_refuses_what_the_loader_refuses(text: str) -> None:
    with pytest.raises(load.ParseError):
        load.load(text)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(yamltext.parse(text).value)


def test_every_difference_from_upstreams_schema_is_explained() -> None:
    rows = [line for line in DIFFERENCES.read_text().splitlines() if line.startswith("| `")]
    explained = {": ".join(cell.strip() for cell in row.split("|")[1:3]) for row in rows}
    assert explained == differences()
