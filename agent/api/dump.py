"""A Host Configuration to YAML text, in upstream's forms: sizes with suffix, short mount points.

What has its default value is left out; `load(dump(x)) == x`.
"""

from __future__ import annotations

from pydantic import JsonValue

from agent.api import yamltext
from agent.api.hostconfig import HostConfiguration


def dump(configuration: HostConfiguration) -> str:
    """The document's text. Contains secrets if the configuration does."""
    return yamltext.dump(to_plain(configuration))


def to_plain(configuration: HostConfiguration) -> dict[str, JsonValue]:
    """The document as plain JSON values."""
    plain: dict[str, JsonValue] = configuration.model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )
    return plain
