"""Findings as text for people and as JSON for programs."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence

from agent.check.findings import Finding, errors


def text(findings: Sequence[Finding], source: str) -> str:
    """One paragraph a finding, then a summary; `source` names the document (its file name)."""
    paragraphs = [_paragraph(finding, source) for finding in findings]
    return "\n".join([*paragraphs, _summary(findings, source)]) + "\n"


def json(findings: Sequence[Finding]) -> str:
    """`{"valid": bool, "findings": [{severity, kind, code, message, path, line, ...}]}`."""
    document = {
        "valid": not errors(findings),
        "findings": [
            {
                "severity": str(finding.severity),
                "kind": str(finding.kind),
                "code": finding.code,
                "message": finding.message,
                "path": finding.path,
                "line": finding.line,
                "column": finding.column,
                "hint": finding.hint,
            }
            for finding in findings
        ],
    }
    return jsonlib.dumps(document, indent=2) + "\n"


def _paragraph(finding: Finding, source: str) -> str:
    place = source
    if finding.line is not None:
        place += f":{finding.line}:{finding.column}"
    subject = f"{finding.path}: " if finding.path else ""
    lines = [f"{place}: {finding.severity}: {subject}{finding.message} [{finding.code}]"]
    if finding.hint:
        lines.append(f"  hint: {finding.hint}")
    return "\n".join(lines)


def _summary(findings: Sequence[Finding], source: str) -> str:
    wrong = len(errors(findings))
    odd = len(findings) - wrong
    warnings = f"{odd} warning{'s' * (odd != 1)}"
    if wrong:
        return f"{source}: invalid: {wrong} error{'s' * (wrong != 1)}, {warnings}"
    return f"{source}: valid" + (f", {warnings}" if odd else "")
