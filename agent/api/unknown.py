"""Fields that a later version wrote: read along with the known ones, and written again.

Only for documents that agents write, such as the Host Status; what people write is refused when it
has a field that is not known. The unknown fields are in the models (`model_extra`), wherever those
go; models with different unknown fields are different. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel, JsonValue

M = TypeVar("M", bound=BaseModel)


def build(model: type[M], value: JsonValue) -> M:
    """Build `model`, keeping fields that it does not know. Raises pydantic.ValidationError."""
    built = model.model_validate_json(json.dumps(value), extra="allow")
    _settle(built)
    return built


def with_unknown(model: BaseModel, plain: JsonValue) -> JsonValue:
    """`plain`, what `model` was dumped to, with the model's unknown fields in their places."""
    if not isinstance(plain, dict):
        return plain
    whole = dict(plain)
    for key, value in _fields(model):
        if key in whole:
            whole[key] = _with_unknown(value, whole[key])
    return whole | (model.model_extra or {})


def _with_unknown(value: object, plain: JsonValue) -> JsonValue:
    if isinstance(value, BaseModel):
        return with_unknown(value, plain)
    if isinstance(value, tuple) and isinstance(plain, list):
        return [_with_unknown(*both) for both in zip(value, plain, strict=True)]
    if isinstance(value, Mapping) and isinstance(plain, dict):
        inner = {str(key): one for key, one in value.items()}
        return {key: _with_unknown(inner.get(key), one) for key, one in plain.items()}
    return plain


def _settle(value: object) -> None:
    """Models that turned out to have no unknown fields are as if read strictly."""
    if isinstance(value, BaseModel):
        if value.model_extra == {} and value.model_config.get("extra") != "allow":
            object.__setattr__(value, "__pydantic_extra__", None)
        for _, inner in _fields(value):
            _settle(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            _settle(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            _settle(inner)


def _fields(model: BaseModel) -> Iterator[tuple[str, object]]:
    """The known fields by the keys of the document."""
    for name, field in type(model).model_fields.items():
        yield field.alias or name, getattr(model, name)
