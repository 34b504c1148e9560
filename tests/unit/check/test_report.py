"""Reports of findings: text with the offending line, JSON for programs."""

import json

from agent.check import report
from agent.check.findings import Finding, Severity
from agent.check.report import WIDTH, Report

TEXT = "os:\n  users:\n  - name: a b\n"
WRONG = Finding("some-rule", "it is wrong", ("os", "users", 0), "fix it", line=3, column=5)
ODD = Finding("other-rule", "it is odd", severity=Severity.WARNING)


def excerpt(line: str, column: int, *steps: str) -> list[str]:
    """What is shown of a document of one line, without the finding and the summary."""
    finding = Finding("rule", "wrong", steps, line=1, column=column)
    return report.text([Report("hc", [finding], line)]).splitlines()[1:-1]


def test_text_says_where_and_what_to_do_below_the_offending_line() -> None:
    assert report.text([Report("hc.yaml", [WRONG, ODD], TEXT)]) == (
        "hc.yaml:3:5: error: os.users[0]: it is wrong [some-rule]\n"
        "    3 |   - name: a b\n"
        "            ^\n"
        "  hint: fix it\n"
        "hc.yaml: warning: it is odd [other-rule]\n"
        "hc.yaml: invalid: 1 error, 1 warning\n"
    )


def test_each_document_gets_a_summary() -> None:
    reports = [Report("a.yaml", []), Report("b.yaml", [ODD])]
    assert report.text(reports).splitlines() == [
        "a.yaml: valid",
        "b.yaml: warning: it is odd [other-rule]",
        "b.yaml: valid, 1 warning",
    ]


def test_of_a_long_line_only_the_part_around_the_place_is_shown() -> None:
    line = "x" * 5000 + "!" + "y" * 5000
    shown, mark = excerpt(line, 5001)
    assert len(shown) <= WIDTH + 8
    assert shown[mark.index("^")] == "!"


def test_a_place_just_after_the_end_of_a_line_is_marked() -> None:
    shown, mark = excerpt("a:", 3)
    assert len(mark) == len(shown) + 1


def test_control_characters_do_not_reach_the_terminal() -> None:
    shown, mark = excerpt("\ta: \x1b[31m", 2)
    assert shown == "    1 |  a:  [31m"
    assert mark.index("^") == shown.index("a")


def test_lines_with_passwords_are_not_shown() -> None:
    assert excerpt("value: 12345", 8, "os", "users", "password", "value") == []
    assert excerpt("- {name: a b, password: {value: secret}}", 10, "os", "users", "name") == []


def test_json_is_a_list_of_findings_with_their_files() -> None:
    items = json.loads(report.json([Report("a.yaml", [WRONG]), Report("b.yaml", [ODD])]))
    assert items[0] == {
        "file": "a.yaml",
        "severity": "error",
        "kind": "invalid-input",
        "code": "some-rule",
        "path": "os.users[0]",
        "line": 3,
        "column": 5,
        "message": "it is wrong",
        "hint": "fix it",
    }
    assert (items[1]["file"], items[1]["line"]) == ("b.yaml", None)
