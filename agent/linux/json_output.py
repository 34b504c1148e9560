"""Reading the JSON that the host's tools print, field by field, with types.

Values that are not what the tool's manual promises are an error at this rim, not later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from agent.api.errors import Kind, TridentError
from agent.linux.run import Result


class Fields:
    """One JSON object of a tool's output; its methods check the type of what they return."""

    def __init__(self, tool: str, values: Mapping[str, object]) -> None:
        self.tool = tool
        self._values = values

    def text(self, key: str) -> str | None:
        """A string, or None when it is absent, null or empty."""
        value = self._values.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return value.strip() or None
        raise unexpected(self.tool, f"'{key}' is {value!r}, a string was expected")

    def required_text(self, key: str) -> str:
        """A string that must be there."""
        value = self.text(key)
        if value is None:
            raise unexpected(self.tool, f"'{key}' is missing")
        return value

    def is_text(self, key: str) -> bool:
        """Whether the value is a string, for keys that hold one or something else."""
        return isinstance(self._values.get(key), str)

    def integer(self, key: str) -> int | None:
        """An integer (some tools quote it), or None when it is absent or null."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().isdecimal():
            return int(value)
        raise unexpected(self.tool, f"'{key}' is {value!r}, an integer was expected")

    def required_integer(self, key: str) -> int:
        """An integer that must be there."""
        value = self.integer(key)
        if value is None:
            raise unexpected(self.tool, f"'{key}' is missing")
        return value

    def flag(self, key: str) -> bool:
        """A Boolean; older tools print "0" and "1". Absent is False."""
        return self._values.get(key) in (True, 1, "1")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; nulls in it are dropped. Absent is empty."""
        return tuple(value for value in self._items(key) if isinstance(value, str) and value)

    def objects(self, key: str) -> tuple[Fields, ...]:
        """A list of objects. Absent is empty."""
        return tuple(_object(self.tool, value) for value in self._items(key))

    def child(self, key: str) -> Fields:
        """An object that must be there."""
        return _object(self.tool, self._values.get(key))

    def optional_child(self, key: str) -> Fields | None:
        """An object, or None when it is absent or null."""
        return None if self._values.get(key) is None else self.child(key)

    def _items(self, key: str) -> Sequence[object]:
        value = self._values.get(key)
        if value is None:
            return ()
        if isinstance(value, list):
            return value
        raise unexpected(self.tool, f"'{key}' is not a list")


def parse_object(tool: str, text: str) -> Fields:
    """The JSON object a tool printed. Raises command-failed when it is anything else."""
    return _object(tool, _load(tool, text))


def parse_list(tool: str, text: str) -> tuple[Fields, ...]:
    """The JSON list of objects a tool printed. Raises command-failed when it is anything else."""
    value = _load(tool, text)
    if not isinstance(value, list):
        raise unexpected(tool, "the output is not a JSON list")
    return tuple(_object(tool, item) for item in value)


def of(result: Result) -> Fields:
    """The JSON object a finished command printed."""
    return parse_object(result.argv[0], result.stdout)


def unexpected(tool: str, explanation: str) -> TridentError:
    """The error for output that is not what the tool's manual promises."""
    return TridentError(
        Kind.SERVICING,
        "command-failed",
        f"{tool} printed unexpected output: {explanation}",
        hint=f"this version of {tool} is not supported: report it with the output of the command",
        fields={"binary": tool, "explanation": explanation},
    )


def _load(tool: str, text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise unexpected(tool, f"not JSON ({error})") from error
    return value


def _object(tool: str, value: object) -> Fields:
    if not isinstance(value, dict):
        raise unexpected(tool, "a JSON object was expected")
    return Fields(tool, value)
