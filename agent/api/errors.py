"""Errors that cross packages: what failed, in which context, who must act and what to do.

One exception type. `kind` is one of upstream's seven, `code` a stable kebab-case name within the
kind, `context` the chain of what was being done (innermost first). Pure; no I/O.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """Upstream's seven kinds, in the order of their numbers on the gRPC wire (1..7)."""

    EXECUTION_ENVIRONMENT = "execution-environment-misconfiguration"
    HEALTH_CHECKS = "health-checks"
    INITIALIZATION = "initialization"
    INTERNAL = "internal"
    INVALID_INPUT = "invalid-input"
    SERVICING = "servicing"
    UNSUPPORTED_CONFIGURATION = "unsupported-configuration"


class TridentError(Exception):
    """A failure with kind, stable code, message, hint, named fields and a context chain."""

    def __init__(
        self,
        kind: Kind,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.hint = hint
        self.fields: dict[str, str] = dict(fields or {})
        self.context: list[str] = []
        self.location = _caller()

    @property
    def identifier(self) -> str:
        """`kind/code`, as printed at the end of a report."""
        return f"{self.kind}/{self.code}"

    def one_line(self) -> str:
        """Message and context in one line, outermost context last."""
        return "; while ".join([self.message, *self.context])

    def render(self) -> str:
        """The report an operator sees: error, context chain, hint, identifier."""
        lines = [f"error: {self.message}"]
        lines += [f"  while {step}" for step in self.context]
        tail = f"{self.identifier:>40}"
        lines.append(f"hint: {self.hint}    {self.identifier}" if self.hint else tail)
        return "\n".join(lines)

    def to_status(self) -> dict[str, object]:
        """The form stored as `lastError` in a Host Status: upstream's keys."""
        error: object = {self.code: dict(self.fields)} if self.fields else self.code
        return {
            "message": self.one_line(),
            "error": error,
            "category": str(self.kind),
            "location": self.location,
            "cause": str(self.__cause__) if self.__cause__ else None,
        }

    def __str__(self) -> str:
        return self.one_line()


def unreadable(path: Path | str, reason: str | None, hint: str) -> TridentError:
    """The error for a file named by the user that cannot be read: invalid-input/read-input-file."""
    return TridentError(
        Kind.INVALID_INPUT,
        "read-input-file",
        f"cannot read {path}: {reason or 'unknown error'}",
        hint=hint,
        fields={"path": str(path)},
    )


@contextmanager
def context(step: str) -> Iterator[None]:
    """Add `step` ("creating 'root' on /dev/sda3") to any TridentError that passes through."""
    try:
        yield
    except TridentError as error:
        error.context.append(step)
        raise


def _caller() -> str:
    """`file:line` of the code that raised: the nearest frame outside this module."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if frame is None:
        return "unknown:0"
    path = Path(frame.f_code.co_filename)
    return f"{path.parent.name}/{path.name}:{frame.f_lineno}"
