"""Byte counts as the Host Configuration writes them: `4096`, `64M`, `1 G`; and `grow`.

Suffixes are powers of 1024. Written with the largest exact suffix; a count that is no multiple of
1024 is written as a plain number.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_TEXT = re.compile(r"\s*([0-9]+)\s*([KMGT]?)\s*")
_SHIFT: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_LIMIT: Final = 1 << 64


class ByteCount(int):
    """A number of bytes, 0 to 2^64-1."""

    @classmethod
    def parse(cls, text: str) -> ByteCount:
        """Read `<n>[K|M|G|T]`. Raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' is not a size: expected bytes or <n>K, <n>M, <n>G, <n>T")
        return cls.checked(int(match[1]) << _SHIFT[match[2]])

    @classmethod
    def checked(cls, value: int) -> ByteCount:
        """`value` as a byte count. Raises ValueError outside 0..2^64-1."""
        if not 0 <= value < _LIMIT:
            raise ValueError(f"{value} is not a size: expected 0 to 2^64-1 bytes")
        return cls(value)

    def __str__(self) -> str:
        """The shortest exact form: `1M`, `1025K`, `1023`."""
        for suffix in "TGMK":
            unit = 1 << _SHIFT[suffix]
            if self and self % unit == 0:
                return f"{int(self) // unit}{suffix}"
        return int.__repr__(self)

    def __repr__(self) -> str:
        return f"ByteCount({int.__repr__(self)})"

    def dump(self) -> int | str:
        """The form written to YAML: text with a suffix, or a number when no multiple of 1024."""
        return int(self) if self % 1024 else str(self)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value.dump(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["string", "number"], "format": r"\d+\s*[KMGT]?"}

    @classmethod
    def _validate(cls, value: object) -> ByteCount:
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return cls.checked(value)
        raise PydanticCustomError("byte_count", "expected a size: a whole number or text like 64M")


GROW: Final = "grow"
"""A partition size: whatever is left on the disk, shared with the disk's other growing ones."""

PartitionSize = Literal["grow"] | ByteCount


def fixed_bytes(size: PartitionSize) -> int | None:
    """The size in bytes, None for `grow`."""
    return int(size) if isinstance(size, ByteCount) else None
