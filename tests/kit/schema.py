"""Makes the JSON Schema of the Host Configuration: `python -m tests.kit.schema` writes it.

Models give its form, the strings below their fields its descriptions.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from functools import cache
from textwrap import dedent
from typing import Any, get_args

from pydantic import BaseModel

from agent.api.hostconfig import HostConfiguration
from agent.api.schema import FILE

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


@cache
def make() -> Schema:
    """The schema as the models and their texts have it now."""
    schema = HostConfiguration.model_json_schema(by_alias=True)
    for model in models(HostConfiguration):
        part = schema if model is HostConfiguration else schema["$defs"][model.__name__]
        _describe(part, model)
    return {"$schema": DIALECT} | schema


def text() -> str:
    return json.dumps(make(), indent=1) + "\n"


def models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """`model` and every model below it, in the order in which they occur."""
    found: dict[type[BaseModel], None] = {model: None}
    for field in model.model_fields.values():
        for below in _inside(field.annotation):
            found |= dict.fromkeys(models(below))
    return list(found)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of the class."""
    body = ast.parse(dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def _describe(part: Schema, model: type[BaseModel]) -> None:
    part.pop("title", None)
    known = meanings(model)
    for name, field in model.model_fields.items():
        properties = part.get("properties", {}).get(field.alias or name)
        if properties is not None:
            properties.pop("title", None)
            properties["description"] = known[name]


if __name__ == "__main__":
    FILE.write_text(text())
