"""What a check finds: one frozen value each, with the place in the document it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from agent.api.load import ParseError
from agent.api.yamltext import Path, Positions

STATIC = "invalid-host-configuration-static"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or odd, about a document.

    `code` names the rule (upstream's name where it has the rule). `error_code` is the code of the
    TridentError that stands for the finding. `steps` lead from the document's root to the value,
    or (`on_key`) to the key. `line` and `column` count from 1.
    """

    code: str
    message: str
    steps: Path = ()
    hint: str | None = None
    severity: Severity = Severity.ERROR
    kind: Kind = Kind.INVALID_INPUT
    error_code: str = STATIC
    line: int | None = None
    column: int | None = None
    on_key: bool = False

    @property
    def path(self) -> str:
        """`storage.disks[0].partitions[2].size`; empty for the document as a whole."""
        return yamltext.show(self.steps)

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    def located(self, positions: Positions) -> Finding:
        """The finding with the line and column of its value or key."""
        mark = positions.of_key(self.steps) if self.on_key else positions.of(self.steps)
        return replace(self, line=mark.line, column=mark.column) if mark else self


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that forbid going on."""
    return [finding for finding in findings if finding.is_error]


def of_parse_error(error: ParseError) -> list[Finding]:
    """The problems of a document that could not be read, as findings."""
    return [
        Finding(
            code=error.code,
            message=problem.message,
            steps=(problem.path,) if problem.path else (),
            hint=problem.hint,
            error_code=error.code,
            line=problem.mark.line if problem.mark else None,
            column=problem.mark.column if problem.mark else None,
        )
        for problem in error.problems
    ]


def of_error(error: TridentError) -> Finding:
    """An error about a document as a whole, such as a file that cannot be read."""
    return Finding(
        error.code, error.message, hint=error.hint, kind=error.kind, error_code=error.code
    )


def to_error(findings: Sequence[Finding]) -> TridentError | None:
    """The error that stands for the findings: that of the first, with all messages; None if fine.

    Warnings do not count.
    """
    wrong = errors(findings)
    if not wrong:
        return None
    first = wrong[0]
    lines = [
        f"{finding.path}: {finding.message}" if finding.path else finding.message
        for finding in wrong
    ]
    return TridentError(
        first.kind,
        first.error_code,
        "\n  ".join(lines),
        hint=first.hint,
        fields={"inner": first.code, "path": first.path} if first.path else {"inner": first.code},
    )


def require_clean(findings: Sequence[Finding]) -> None:
    """Raise the error that stands for the findings, if any of them is one."""
    if (error := to_error(findings)) is not None:
        raise error
