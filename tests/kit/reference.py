"""Writes docs/reference/host-configuration.md from the models: `python -m tests.kit.reference`.

Meanings of fields are the strings below them in the source.
"""

from __future__ import annotations

import inspect
import json
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.api.hostconfig import HostConfiguration
from tests.kit.reference_examples import EXAMPLES
from tests.kit.schema import make as json_schema
from tests.kit.schema import meanings, models

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "host-configuration.md"
HEAD = """\
# Host Configuration

Made from the models that read the document: do not edit. `trident schema` prints the JSON Schema,
`trident validate` also checks how the parts of a document fit together.
"""


def page() -> str:
    """The whole page: a section for each kind of mapping, in the order in which they occur."""
    definitions = json_schema()["$defs"]
    sections = [_section(model, definitions) for model in models(HostConfiguration)]
    return "\n".join([HEAD, *sections])


def _section(model: type[BaseModel], definitions: dict[str, Any]) -> str:
    schema = json_schema() if model is HostConfiguration else definitions[model.__name__]
    parts = [f"## {model.__name__}"]
    if model.__doc__:
        parts.append(inspect.cleandoc(model.__doc__).partition("\n\n")[0])
    if "properties" in schema:
        known = meanings(model)
        rows = [_row(schema, name, f, known) for name, f in model.model_fields.items()]
        parts.append("\n".join(["| Key | Value | Default | Meaning |", "|---|---|---|---|", *rows]))
    parts.append(f"```yaml\n{EXAMPLES[model.__name__]}```")
    return "\n\n".join(parts) + "\n"


def _row(schema: dict[str, Any], name: str, field: FieldInfo, known: dict[str, str]) -> str:
    key = field.alias or name
    value = _value(schema["properties"][key])
    return f"| `{key}` | {value} | {_default(field)} | {known[name]} |"


def _value(schema: dict[str, Any]) -> str:
    for word in ("anyOf", "oneOf"):
        if word in schema:
            parts = [_value(part) for part in schema[word] if part.get("type") != "null"]
            return " or ".join(dict.fromkeys(parts))
    if "$ref" in schema:
        return _reference(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {_value(schema['items'])}"
    if "const" in schema or "enum" in schema:
        return _words([schema["const"]] if "const" in schema else schema["enum"])
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping to {_value(schema['additionalProperties'])}"
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return "number or text"
    return _FORMATS.get(str(schema.get("format")), str(kind))


_FORMATS = {
    "uuid": "UUID",
    "uri": "URL",
    "Block Device ID": "device id",
    "[a-fA-F0-9]{96}": "96 hexadecimal digits",
}


def _reference(name: str) -> str:
    definition = json_schema()["$defs"][name]
    if "enum" in definition or "const" in definition:
        return _words(definition.get("enum") or [definition["const"]])
    return "anything" if name == "JsonValue" else f"[{name}](#{name.lower()})"


def _words(values: list[object]) -> str:
    return ", ".join(f"`{value}`" for value in values if isinstance(value, str))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if isinstance(default, BaseModel) or default in (None, (), {}, ""):
        return ""
    plain = default.value if isinstance(default, Enum) else default
    return f"`{plain if not isinstance(plain, bool) else json.dumps(plain)}`"


if __name__ == "__main__":
    PAGE.write_text(page())
