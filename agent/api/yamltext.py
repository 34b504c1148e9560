"""YAML text to plain values and back: the rim of the contract.

libyaml parses, the rules are ours: YAML 1.2 core scalars (`off` is a string, `010` is ten), unique
text keys, no tags, no merge keys, bounded size, depth and alias expansion, UTF-8 only. Each value's
position is kept for error messages. Values are JSON's: None, bool, int, float, str, list, dict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import yaml
from pydantic import JsonValue
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 200_000
"""Values in a document after aliases are expanded."""

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(("true", "True", "TRUE"))
_FALSE: Final = frozenset(("false", "False", "FALSE"))
_INTEGER: Final = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNPRINTABLE: Final = re.compile("[^\t\n\r -~\x85\xa0-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What is no character of YAML (1.2, 5.1); a byte order mark is one only at the start."""
_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_MAX_DIGITS: Final = 64

Path = tuple[str | int, ...]
"""Keys and indexes from the document's root to a value."""


class Mark(NamedTuple):
    """A place in the text, counted from 1."""

    line: int
    column: int


class YamlError(Exception):
    """Text that is not a document; `mark` is where, `path` to which value it belongs."""

    def __init__(self, message: str, mark: Mark | None = None, path: Path = ()) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark
        self.path = path


@dataclass
class Positions:
    """Where each value, and each key of a mapping, stands in the text."""

    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)

    def of(self, path: Path) -> Mark | None:
        """The place of the value at `path`, or of the nearest thing above it that exists."""
        for end in range(len(path), -1, -1):
            if mark := self.values.get(path[:end]):
                return mark
        return None

    def of_key(self, path: Path) -> Mark | None:
        """The place of the key that leads to `path`."""
        return self.keys.get(path) or self.of(path)


@dataclass(frozen=True)
class Document:
    value: JsonValue
    positions: Positions


def show(path: Path) -> str:
    """`path` as people write it: `storage.disks[0].partitions[2].size`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def parse(text: str | bytes) -> Document:
    """Read one YAML document; an empty one is None. Raises YamlError."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise YamlError(f"the document is larger than {MAX_BYTES} bytes")
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError("the document is not UTF-8 text", Mark(line, 1)) from error
    decoded = decoded.removeprefix("\ufeff")
    if odd := _UNPRINTABLE.search(decoded):
        before = decoded[: odd.start()]
        place = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise YamlError(f"the character U+{ord(odd[0]):04X} is not allowed", place)
    try:
        return _Builder(decoded).document()
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        mark = Mark(where.line + 1, where.column + 1) if where else None
        raise YamlError(error.problem or "not YAML", mark) from error


class _Builder:
    """Builds values from libyaml's events, so that limits hold before anything is built."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Event] = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        self._positions = Positions()
        self._anchors: dict[str, JsonValue] = {}
        self._values = 0

    def document(self) -> Document:
        next(self._events)
        first = next(self._events)
        if isinstance(first, StreamEndEvent):
            return Document(None, self._positions)
        value = self._value(next(self._events), ())
        if not isinstance(next(self._events), DocumentEndEvent):
            raise YamlError("not YAML")
        following = next(self._events)
        if not isinstance(following, StreamEndEvent):
            raise YamlError("more than one document", _mark(following))
        return Document(value, self._positions)

    def _value(self, event: Event, path: Path) -> JsonValue:
        mark = _mark(event)
        self._positions.values[path] = mark
        self._count(1, mark, path)
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        assert isinstance(event, NodeEvent)
        if isinstance(event, ScalarEvent):
            value = _scalar(event, path)
        else:
            assert isinstance(event, CollectionStartEvent)
            if len(path) >= MAX_DEPTH:
                raise YamlError(f"nested deeper than {MAX_DEPTH} levels", mark, path)
            if event.tag is not None and event.tag not in _TAGS:
                raise YamlError(f"tags such as '{event.tag}' are not supported", mark, path)
            is_map = isinstance(event, MappingStartEvent)
            value = self._mapping(path) if is_map else self._sequence(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _alias(self, event: AliasEvent, path: Path) -> JsonValue:
        if event.anchor not in self._anchors:
            raise YamlError(f"alias '*{event.anchor}' has no anchor before it", _mark(event), path)
        value = self._anchors[event.anchor]
        self._count(_size(value), _mark(event), path)
        return value

    def _count(self, number: int, mark: Mark, path: Path) -> None:
        self._values += number
        if self._values > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES} values", mark, path)

    def _sequence(self, path: Path) -> list[JsonValue]:
        items: list[JsonValue] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, JsonValue]:
        entries: dict[str, JsonValue] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = _key(event, path)
            here = (*path, key)
            if key in entries:
                first = self._positions.keys[here].line
                raise YamlError(f"'{key}' is already set in line {first}", _mark(event), here)
            self._positions.keys[here] = _mark(event)
            entries[key] = self._value(next(self._events), here)
        return entries


def _key(event: Event, path: Path) -> str:
    if not isinstance(event, ScalarEvent):
        raise YamlError("a key must be text", _mark(event), path)
    if event.implicit[0] and event.value == "<<":
        raise YamlError("merge keys ('<<') are not supported", _mark(event), path)
    return str(event.value)


def _scalar(event: ScalarEvent, path: Path) -> JsonValue:
    text: str = event.value
    if event.tag is not None and event.tag not in _TAGS:
        raise YamlError(f"tags such as '{event.tag}' are not supported", _mark(event), path)
    if event.tag is not None or not event.implicit[0]:
        return text
    try:
        return resolve(text)
    except ValueError as error:
        raise YamlError(str(error), _mark(event), path) from error


def resolve(text: str) -> JsonValue:
    """The value of a plain scalar in YAML 1.2's core schema. Raises ValueError."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.match(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError("a number with too many digits")
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.match(text):
        return _finite(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        raise ValueError(f"'{text}' is not a number that can be used here")
    return text


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large")
    return value


def _size(value: JsonValue) -> int:
    """How many values `value` holds; shared parts count each time they occur."""
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1


def _mark(event: Event) -> Mark:
    start = event.start_mark
    assert start is not None
    return Mark(start.line + 1, start.column + 1)


class _Dumper(yaml.CSafeDumper):
    """Quotes every text that YAML 1.1 or 1.2 would read as something else."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    """Several lines as a literal block, so that scripts stay readable."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:trident:yaml12", _INTEGER, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:trident:yaml12", _FLOAT, list("-+.0123456789"))


def dump(value: Mapping[str, JsonValue]) -> str:
    """`value` as block-style YAML in its own order."""
    text: str = yaml.dump(
        dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text
