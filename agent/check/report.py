"""Findings as text for people and as JSON for programs."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from agent.check.findings import Finding, errors

WIDTH: Final = 96
"""Columns of a line of the document that are shown."""
_SECRET: Final = re.compile(r"password|dangerous-", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """What was found in one document. `file` names it in messages; `text` is its content."""

    file: str
    findings: Sequence[Finding]
    text: str = ""

    @property
    def valid(self) -> bool:
        return not errors(self.findings)

    @cached_property
    def lines(self) -> list[str]:
        return re.split("\r\n|[\r\n\x85\u2028\u2029]", self.text)


def text(reports: Sequence[Report]) -> str:
    """For each document a paragraph a finding, then a summary."""
    return "".join(f"{line}\n" for report in reports for line in _lines(report))


def json(reports: Sequence[Report]) -> str:
    """A list of `{file, severity, kind, code, path, line, column, message, hint}`."""
    items = [
        {
            "file": report.file,
            "severity": str(finding.severity),
            "kind": str(finding.kind),
            "code": finding.code,
            "path": finding.path,
            "line": finding.line,
            "column": finding.column,
            "message": finding.message,
            "hint": finding.hint,
        }
        for report in reports
        for finding in report.findings
    ]
    return jsonlib.dumps(items, indent=2) + "\n"


def _lines(report: Report) -> Iterator[str]:
    for finding in report.findings:
        place = report.file
        if finding.line is not None:
            place += f":{finding.line}:{finding.column}"
        subject = f"{finding.path}: " if finding.path else ""
        yield f"{place}: {finding.severity}: {subject}{finding.message} [{finding.code}]"
        yield from _excerpt(report, finding)
        if finding.hint:
            yield f"  hint: {finding.hint}"
    yield _summary(report)


def _excerpt(report: Report, finding: Finding) -> Iterator[str]:
    """The line that the finding is about and a mark below its place; nothing of passwords."""
    if finding.line is None or finding.column is None or finding.line > len(report.lines):
        return
    line = report.lines[finding.line - 1]
    if _SECRET.search(line) or _SECRET.search(finding.path):
        return
    start = max(0, finding.column - WIDTH // 2) if len(line) > WIDTH else 0
    shown = "".join(c if c.isprintable() else " " for c in line[start : start + WIDTH])
    number = f"{finding.line:>5} | "
    yield f"{number}{shown.rstrip()}"
    yield f"{' ' * len(number)}{' ' * (finding.column - 1 - start)}^"


def _summary(report: Report) -> str:
    wrong = len(errors(report.findings))
    odd = len(report.findings) - wrong
    warnings = f"{odd} warning{'s' * (odd != 1)}"
    if wrong:
        return f"{report.file}: invalid: {wrong} error{'s' * (wrong != 1)}, {warnings}"
    return f"{report.file}: valid" + (f", {warnings}" if odd else "")
