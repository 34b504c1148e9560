"""The JSON Schema of the Host Configuration, made from the models."""

from __future__ import annotations

from typing import Any

from agent.api.hostconfig import HostConfiguration

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of documents that `agent.api.load` accepts; rules across fields are not in it."""
    return {"$schema": DIALECT} | HostConfiguration.model_json_schema(by_alias=True)
