"""os-release text: `KEY=value` lines with shell quoting (os-release(5))."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType

_LINE = re.compile(r"\s*([A-Z][A-Z0-9_]*)=(.*)")


def parse(text: str) -> Mapping[str, str]:
    """The assignments in `text`; lines that are none are skipped, the last of a key wins."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            fields[match[1]] = _unquote(match[2].strip())
    return MappingProxyType(fields)


def _unquote(value: str) -> str:
    try:
        return "".join(shlex.split(value)[:1])
    except ValueError:
        return value.strip("\"'")
