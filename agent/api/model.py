"""What every model of the contract shares: frozen, strict, unknown keys refused, camelCase keys.

Strict means JSON strict: documents reach the models as JSON text (`model_validate_json`), where a
string stays a string and a number a number, while enums, UUIDs and paths are read from their text.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from pydantic.alias_generators import to_camel

CONTRACT = ConfigDict(
    frozen=True,
    extra="forbid",
    strict=True,
    alias_generator=to_camel,
    populate_by_name=True,
    defer_build=True,
    hide_input_in_errors=True,
)


class Model(BaseModel):
    """Base of the contract's models.

    Defaults that are models are made by `model_construct`: importing the contract then builds no
    validators, and the first document that is read builds one for all.
    """

    model_config = CONTRACT


def _path(value: PurePosixPath) -> PurePosixPath:
    """POSIX keeps `//x` apart from `/x`; here they are one path. NUL is refused."""
    text = str(value)
    if "\0" in text:
        raise ValueError("a path cannot contain NUL")
    return PurePosixPath(text[1:]) if text.startswith("//") else value


def _url(value: str) -> str:
    if not urlsplit(value).scheme:
        raise ValueError("expected an absolute URL such as https://host/path")
    return value


def _sha384(value: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{96}", value):
        raise ValueError("expected 96 hexadecimal digits")
    return value.lower()


HostPath = Annotated[PurePosixPath, AfterValidator(_path), WithJsonSchema({"type": "string"})]
"""A path on the host. Whether it is absolute is a rule of `agent.check`, not of the parser."""

Url = Annotated[str, AfterValidator(_url), WithJsonSchema({"type": "string", "format": "uri"})]

Sha384 = Annotated[
    str,
    AfterValidator(_sha384),
    WithJsonSchema({"type": "string", "format": "[a-fA-F0-9]{96}"}),
]
"""A SHA-384 digest: 96 lower-case hexadecimal digits."""

BlockDeviceId = Annotated[str, WithJsonSchema({"type": "string", "format": "Block Device ID"})]
"""Name of a block device within one Host Configuration."""
