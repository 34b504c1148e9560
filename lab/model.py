"""What the models of scenario files are made of: kinds of values, and two bases. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(gt=0, le=3600)]


class Model(BaseModel):
    """Base: frozen, unknown keys refused, camelCase keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class OneOf(Model):
    """A mapping of which exactly one key is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"exactly one of {', '.join(_keys(type(self)))} must be given")
        return self

    @property
    def verb(self) -> str:
        """The one key that was given, in camelCase."""
        return to_camel(next(iter(self.model_fields_set)))

    @property
    def value(self) -> Any:
        """What the one key was given."""
        return getattr(self, next(iter(self.model_fields_set)))


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
