"""`trident/medium.json`: what a medium was built with. Its form: docs/architecture.md."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from agent.medium.menu import Menu


class Description(BaseModel):
    """A medium as it was built; `images` maps file names to the SHA-384 of their metadata."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    version: Literal[1] = 1
    builder: str
    menu: Menu
    images: dict[str, str] = {}
    configurations: tuple[str, ...] = ()
    provisions: tuple[str, ...] = ()
    """What it brings for the live system, for people."""

    def dump(self) -> bytes:
        """As JSON, ending in a newline."""
        return (self.model_dump_json(by_alias=True, indent=1) + "\n").encode()
