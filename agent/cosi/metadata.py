"""COSI metadata (`metadata.json` of a COSI file), versions 1.0, 1.1 and 1.2: read and written.

A document is first bounded (size, depth, repeated keys), then shaped by the models, then held
against the rules of its version. Pure; no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from agent.api.errors import Kind, TridentError
from agent.cosi.metadata_model import (
    V1_0,
    V1_1,
    V1_2,
    BootEntry,
    BootEntryType,
    Bootloader,
    BootloaderType,
    Compression,
    CosiMetadata,
    Disk,
    DiskType,
    FsType,
    GptRegion,
    Image,
    ImageFile,
    OsPackage,
    RegionType,
    SystemdBoot,
    Verity,
    Version,
    parse_version,
)
from agent.cosi.metadata_rules import RULES

__all__ = [
    "V1_0",
    "V1_1",
    "V1_2",
    "BootEntry",
    "BootEntryType",
    "Bootloader",
    "BootloaderType",
    "Compression",
    "CosiMetadata",
    "Disk",
    "DiskType",
    "FsType",
    "GptRegion",
    "Image",
    "ImageFile",
    "OsPackage",
    "RegionType",
    "SystemdBoot",
    "Verity",
    "Version",
    "dump",
    "examine",
    "parse",
]

MAX_BYTES: Final = 16 << 20


def parse(data: bytes, *, minimum: Version = V1_0) -> CosiMetadata:
    """Read metadata.json. `minimum` is the version that the caller needs.

    Raises TridentError invalid-input/load-cosi.
    """
    try:
        metadata = _shape(data)
    except ValidationError as error:
        raise _refused(_describe(error)) from error
    if metadata.version < minimum:
        raise _refused(f"version {metadata.version} is too old, {minimum} is needed")
    for reason in _violations(metadata):
        raise _refused(reason)
    return metadata


def examine(data: bytes) -> tuple[CosiMetadata | None, tuple[str, ...]]:
    """Read metadata.json for a report: what can be read of it, and all that is wrong with it."""
    try:
        metadata = _shape(data)
    except ValidationError as error:
        return None, tuple(_details(error))
    except TridentError as error:
        return None, (error.message,)
    return metadata, tuple(_violations(metadata))


def dump(metadata: CosiMetadata) -> bytes:
    """The metadata as JSON; `parse(dump(x)) == x`."""
    return metadata.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()


def _shape(data: bytes) -> CosiMetadata:
    """The models of a bounded document of a known version. Raises load-cosi, ValidationError."""
    if len(data) > MAX_BYTES:
        raise _refused(f"it is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        version = _peek_version(json.loads(text, object_pairs_hook=_unique, parse_constant=_no))
    except RecursionError as error:
        raise _refused("it is nested too deeply") from error
    except ValueError as error:
        raise _refused(f"it is not JSON: {error}") from error
    if version is not None and version.major != 1:
        raise _refused(
            f"version {version} is not supported, only 1.x is",
            "use an image of COSI version 1, or an agent that knows this version",
        )
    return CosiMetadata.model_validate_json(text)


def _violations(metadata: CosiMetadata) -> Iterator[str]:
    """What each rule of the document's version says."""
    for since, rule in RULES:
        if metadata.version >= since and (reason := rule(metadata)) is not None:
            yield reason


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{repeated}' is given twice")
    return fields


def _no(constant: str) -> object:
    raise ValueError(f"{constant} is not a number")


def _peek_version(document: object) -> Version | None:
    """The version of a document that may not be readable as a whole."""
    try:
        return parse_version(document.get("version") if isinstance(document, dict) else None)
    except ValueError:
        return None


def _refused(reason: str, hint: str | None = None) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "load-cosi",
        f"the image's metadata cannot be used: {reason}",
        hint=hint or "rebuild the image; its metadata.json does not follow the COSI specification",
    )


def _describe(error: ValidationError) -> str:
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{next(_details(error))}{more}"


def _details(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        path = ".".join(str(step) for step in detail["loc"])
        yield f"{path}: {detail['msg'].removeprefix('Value error, ')}"
