"""Which fields a model has at a path of the document: for hints, never for parsing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from agent.api.yamltext import Path


def known_fields(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """Names (as written in YAML) of the fields of whatever model lies at `path`."""
    models = [model]
    for step in path:
        if isinstance(step, str):
            models = [found for m in models for found in _below(m, step)]
    return tuple(
        dict.fromkeys(field.alias or name for m in models for name, field in m.model_fields.items())
    )


def _below(model: type[BaseModel], key: str) -> Iterator[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if (field.alias or name) == key:
            yield from _models(field.annotation)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `tuple[Disk, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
