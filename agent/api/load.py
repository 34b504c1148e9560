"""YAML text to a Host Configuration: the only way in.

A document that does not have the shape of a Host Configuration is refused with every problem
listed, each with its path, line and column. Whether its parts fit together is for `agent.check`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from agent.api import unknown, yamltext
from agent.api.errors import Kind, TridentError, context, unreadable
from agent.api.hostconfig import HostConfiguration
from agent.api.yamltext import Document, Mark, Path, Positions, YamlError

PARSE_FAILED: Final = "parse-host-configuration"
_CLOSE: Final = 0.7

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document's shape."""

    message: str
    path: str = ""
    mark: Mark | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = f"line {self.mark.line}, column {self.mark.column}: " if self.mark else ""
        return f"{place}{self.path + ': ' if self.path else ''}{self.message}"


class ParseError(TridentError):
    """A document that is no Host Configuration; `problems` has all of what is wrong."""

    def __init__(self, problems: Sequence[Problem], code: str = PARSE_FAILED) -> None:
        first = problems[0]
        message = str(first)
        if len(problems) > 1:
            message += "".join(f"\n  {problem}" for problem in problems[1:])
        super().__init__(Kind.INVALID_INPUT, code, message, hint=first.hint)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Loaded:
    """A Host Configuration and where its values stand in the text."""

    configuration: HostConfiguration
    positions: Positions


def load(text: str | bytes) -> HostConfiguration:
    """Read a Host Configuration. Raises ParseError."""
    return load_document(text).configuration


def load_document(text: str | bytes) -> Loaded:
    """Read a Host Configuration and keep positions. Raises ParseError."""
    try:
        document = yamltext.parse(text)
    except YamlError as error:
        problem = Problem(error.message, yamltext.show(error.path), error.mark)
        raise ParseError([problem]) from error
    _refuse_other_documents(document)
    return Loaded(build(HostConfiguration, document), document.positions)


def load_file(path: FilePath) -> HostConfiguration:
    """Read a Host Configuration from a file. Raises ParseError, read-input-file."""
    return load_file_document(path).configuration


def load_file_document(path: FilePath) -> Loaded:
    """Read a Host Configuration from a file, keeping positions. Raises like `load_file`."""
    data = read_file(path)
    with context(f"reading the Host Configuration {path}"):
        return load_document(data)


def read_file(path: FilePath) -> bytes:
    """The file's content, cut after the first byte that is too many. Raises read-input-file."""
    try:
        with path.open("rb") as file:
            return file.read(yamltext.MAX_BYTES + 1)
    except OSError as error:
        hint = "name an existing, readable Host Configuration file"
        raise unreadable(path, error.strerror, hint) from error


def build(model: type[M], document: Document) -> M:
    """Build `model` from a document's value. Raises ParseError."""
    try:
        return model.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        raise ParseError(_problems(error, document, model)) from error


def build_leniently(model: type[M], document: Document) -> M:
    """As `build`, but fields that `model` does not know are kept, not refused."""
    try:
        return unknown.build(model, document.value)
    except ValidationError as error:
        raise ParseError(_problems(error, document, model)) from error


def _refuse_other_documents(document: Document) -> None:
    """Documents that are recognisably something else get an error of their own."""
    root = document.value
    if not isinstance(root, dict):
        raise ParseError([Problem("expected a mapping with keys such as 'storage' and 'image'")])
    if "hostConfiguration" in root:
        problem = Problem(
            "this is an old-style configuration: the Host Configuration is a section of it",
            "hostConfiguration",
            document.positions.of_key(("hostConfiguration",)),
            "move what is under 'hostConfiguration' to the top level and drop the rest",
        )
        raise ParseError([problem], "old-style-configuration")
    if "allowedOperations" in root:
        problem = Problem(
            "allowed operations are no part of the Host Configuration",
            "allowedOperations",
            document.positions.of_key(("allowedOperations",)),
            "remove the key and use the command line option --allowed-operations",
        )
        raise ParseError([problem], "allowed-operations-in-host-configuration")


def _problems(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """One problem a path: the alternatives of a union are joined with "or"."""
    messages: dict[Path, list[str]] = {}
    not_known: set[Path] = set()
    for detail in error.errors(include_url=False, include_input=False):
        path = _document_path(detail["loc"], detail["type"], document.value)
        if detail["type"] == "extra_forbidden":
            not_known.add(path)
        message = _message(detail["type"], detail["msg"])
        if message not in (known := messages.setdefault(path, [])):
            known.append(message)
    positions = document.positions
    problems = [
        Problem(
            ", or ".join(texts),
            yamltext.show(path),
            positions.of_key(path) if path in not_known else positions.of(path),
            _spelling(model, path) if path in not_known else None,
        )
        for path, texts in messages.items()
    ]
    return sorted(problems, key=lambda problem: problem.mark or Mark(0, 0))


_OWN_WORDS: Final = {
    "extra_forbidden": "unknown field",
    "missing": "this field is required",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "mapping_type": "expected a mapping",
    "tuple_type": "expected a list",
    "string_type": "expected text (quote numbers and booleans)",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "path_type": "expected a path",
    "uuid_type": "expected a UUID",
    "uuid_parsing": "expected a UUID",
}


def _message(kind: str, text: str) -> str:
    if kind in _OWN_WORDS:
        return _OWN_WORDS[kind]
    if kind == "union_tag_invalid":
        return f"expected 'type' to be one of {text.rpartition('tags: ')[2]}"
    if kind == "union_tag_not_found":
        return "expected a mapping with the key 'type'"
    return text.removeprefix("Value error, ").replace("Input should be", "expected")


def _document_path(loc: tuple[int | str, ...], kind: str, root: JsonValue) -> Path:
    """pydantic's location without the names of union members, which are not in the document."""
    path: list[str | int] = []
    value = root
    for index, step in enumerate(loc):
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        elif not (kind == "missing" and index == len(loc) - 1):
            continue
        path.append(step)
    return tuple(path)


def _spelling(model: type[BaseModel], path: Path) -> str | None:
    """A known field that looks like the unknown one."""
    from difflib import get_close_matches

    from agent.api.fields import known_fields

    fields = known_fields(model, path[:-1])
    close = get_close_matches(str(path[-1]), fields, n=1, cutoff=_CLOSE)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known fields here: {', '.join(fields)}" if fields else None
