"""YAML files to models, with every mistake named by file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from agent.api import load, yamltext
from agent.api.errors import Kind, TridentError, unreadable

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_text(path: Path) -> str:
    """Text of a file. Raises invalid-input/read-input-file."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise unreadable(path, reason, "check the path and its permissions") from error


def parse_model(path: Path, model: type[ModelT], code: str) -> ModelT:
    """Read a YAML file into `model`. Raises invalid-input/`code` with all mistakes."""
    return parse_text(read_text(path), model, str(path), code)


def parse_text(text: str, model: type[ModelT], origin: str, code: str) -> ModelT:
    """Read YAML text that came from `origin` into `model`. Raises invalid-input/`code`."""
    try:
        document = yamltext.parse(text)
        return load.build(model, document)
    except yamltext.YamlError as error:
        problem = load.Problem(error.message, yamltext.show(error.path), error.mark)
        raise _refused(origin, code, str(problem), None) from error
    except load.ParseError as error:
        raise _refused(origin, code, error.message, error.hint) from error


def _refused(origin: str, code: str, message: str, hint: str | None) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        code,
        f"{origin}: {message}",
        hint=hint or f"correct {origin}",
        fields={"path": origin},
    )
