"""The JSON Schema of the Host Configuration, for editors and other programs.

It is made from the models and kept beside them, because the meanings of fields are in the source
text; a test holds the two together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import JsonValue

FILE: Final = Path(__file__).with_name("host-configuration.schema.json")


def json_schema() -> dict[str, JsonValue]:
    """The schema of documents that `agent.api.load` accepts; rules across fields are not in it."""
    schema: dict[str, JsonValue] = json.loads(FILE.read_text())
    return schema
