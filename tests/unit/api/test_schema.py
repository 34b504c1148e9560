"""Our JSON Schema against the samples, and field by field against upstream's schema."""

from __future__ import annotations

import json
import re
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
    """What a schema says of one field; alternatives are merged."""

    required: bool = False
    words: frozenset[str] = frozenset()
    """The words that an enumerated field can have."""
    types: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    """Formats, patterns and limits."""
    default: str = ""
    """The default as JSON; empty when the schema states none."""

    def merged(self, other: Field) -> Field:
        return Field(
            self.required or other.required,
            self.words | other.words,
            self.types | other.types,
            self.formats | other.formats,
            self.default or other.default,
        )


MANY = 6
MOST_DIFFERENCES = 10
LIMITS = ("format", "pattern", "minimum", "maximum", "minItems", "maxItems", "uniqueItems")


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
    """Every field of a document, by its path."""
    parts = list(_resolve(schema, root))
    required = {name for part in parts for name in part.get("required", ())}
    found: dict[str, Field] = {}

    def add(fields: dict[str, Field]) -> None:
        for where, field in fields.items():
            found[where] = found.get(where, Field()).merged(field)

    for part in parts:
        for name, below in part.get("properties", {}).items():
            here = f"{path}.{name}".removeprefix(".")
            add({here: _field(below, root, name in required)})
            if name not in FREE_FORM:
                add(_fields(below, root, here))
        if isinstance(part.get("items"), dict):
            add(_fields(part["items"], root, f"{path}[]"))
    return found


def _field(schema: Schema, root: Schema, required: bool) -> Field:
    parts = list(_resolve(schema, root))
    return Field(
        required,
        frozenset(_words(schema, root)),
        frozenset(kind for part in parts for kind in _types(part)),
        frozenset(f"{key} {part[key]}" for part in parts for key in LIMITS if key in part),
        json.dumps(schema["default"], sort_keys=True) if "default" in schema else "",
    )


def _types(part: Schema) -> list[str]:
    stated = part.get("type", "string" if "enum" in part or "const" in part else [])
    return [stated] if isinstance(stated, str) else list(stated)


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


def _changes(mine: frozenset[str], other: frozenset[str], what: str) -> str:
    changes = [f"+{word}" for word in mine - other] + [f"-{word}" for word in other - mine]
    if len(changes) > MANY:
        return f"{what}: {len(mine)} here, {len(other)} others upstream"
    return f"{what} {' '.join(sorted(changes))}"


def _field_differences(mine: Field, other: Field) -> Iterator[str]:
    if mine.required != other.required:
        yield f"required only {'here' if mine.required else 'upstream'}"
    if mine.words != other.words:
        yield _changes(mine.words, other.words, "words")
    if mine.types != other.types:
        yield _changes(mine.types, other.types, "types")
    if mine.formats != other.formats:
        yield _changes(mine.formats, other.formats, "forms")
    if mine.default != other.default:
        yield "default only here" if not other.default else f"default {other.default} upstream"


def differences() -> set[tuple[str, str]]:
    """Each difference between the two schemas: the field's path and what differs."""
    ours, theirs = (_fields(schema, schema) for schema in (json_schema(), UPSTREAM))
    found = {(path, "only here") for path in _only(ours, theirs)}
    found |= {(path, "only upstream") for path in _only(theirs, ours)}
    for path in ours.keys() & theirs.keys():
        found |= {(path, change) for change in _field_differences(ours[path], theirs[path])}
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


def explanations() -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    """The rows of the page's table, as patterns of paths and of differences."""
    rows = [line for line in DIFFERENCES.read_text().splitlines() if line.startswith("| `")]
    return [(_pattern(cells[1]), _pattern(cells[2])) for cells in (r.split("|") for r in rows)]


def _pattern(cell: str) -> re.Pattern[str]:
    """`*` stands for anything, ` or ` separates alternatives."""
    choices = (re.escape(text.strip(" `")).replace(r"\*", ".*") for text in cell.split(" or "))
    return re.compile("|".join(choices))


def test_every_difference_from_upstreams_schema_is_explained_once() -> None:
    rows = explanations()
    used = set()
    for path, change in differences():
        matching = [row for row in rows if row[0].fullmatch(path) and row[1].fullmatch(change)]
        assert len(matching) == 1, (path, change, matching)
        used.add(matching[0])
    assert used == set(rows)
    assert len(rows) <= MOST_DIFFERENCES


def test_most_fields_are_compared() -> None:
    ours, theirs = (_fields(schema, schema) for schema in (json_schema(), UPSTREAM))
    assert len(ours.keys() & theirs.keys()) >= 138
