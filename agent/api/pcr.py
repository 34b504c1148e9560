"""TPM platform configuration registers: read as a number or a name, written as the name.

Names are systemd's (systemd-analyze pcrs, UAPI "Linux TPM PCR registry").
"""

from __future__ import annotations

from typing import Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_NAMES: Final = (
    "platform-code",
    "platform-config",
    "external-code",
    "external-config",
    "boot-loader-code",
    "boot-loader-config",
    "host-platform",
    "secure-boot-policy",
    "pcr8",
    "kernel-initrd",
    "ima",
    "kernel-boot",
    "kernel-config",
    "sysexts",
    "shim-policy",
    "system-identity",
    "debug",
    *(f"pcr{number}" for number in range(17, 23)),
    "application-support",
)
_BY_NAME: Final = {name: number for number, name in enumerate(_NAMES)}


class Pcr(int):
    """A register's number, 0 to 23."""

    @property
    def name(self) -> str:
        return _NAMES[self]

    @classmethod
    def parse(cls, value: object) -> Pcr:
        """Read a number or a name. Raises ValueError."""
        number = _BY_NAME.get(value) if isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(_NAMES):
            raise ValueError(f"'{value}' is not a PCR: expected 0 to 23 or a name like {_NAMES[7]}")
        return cls(number)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda pcr: pcr.name, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": [*_NAMES, *range(len(_NAMES))]}
