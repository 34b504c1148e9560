"""What a check of a COSI file can find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """Which part of the specification a finding is about; stable, for programs."""

    NAME = "name"
    ARCHIVE = "archive"
    LAYOUT = "layout"
    METADATA = "metadata"
    IMAGE = "image"
    TABLE = "table"
    FILESYSTEM = "filesystem"
    VERITY = "verity"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in a sentence; advice is what only should be different."""

    rule: Rule
    message: str
    is_advice: bool = False
