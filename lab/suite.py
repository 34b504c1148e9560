"""All scenarios, one at a time, resumable; the outcome is a table with dates and figures.

What passed is remembered in `build/vm/results.json` with a fingerprint of the checkout, so a
suite that was interrupted goes on where it was. An infrastructure failure is run once more, and
the table counts it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.linux.run import run as run_command
from lab import paths, report, runner, scenario, toolbox
from lab.errors import LabError
from lab.report import Report, Result
from lab.scenario import Scenario

TOOLBOX = "toolbox"
INFRASTRUCTURE_RUNS = 2
_NOT_INPUT = (":!docs", ":!changelog.d", ":!*.md")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    scenario: str
    result: str
    seconds: float
    date: str
    fingerprint: str
    commit: str
    infrastructure_failures: int
    figures: str
    reason: str | None = None


def run(results: Path, *, smoke: bool, names: Sequence[str] = ()) -> int:
    """Run what has not passed yet, all or what is named; 0 when every scenario of these holds.

    The table has a line for each scenario that was ever run here, with its commit; with `smoke`,
    for those of the smoke set. Raises LabError for an unknown name.
    """
    store = paths.build("vm") / "results.json"
    rows = load(store)
    mark, commit = fingerprint()
    wanted = in_order(
        {
            path.stem: scenario.load(path)
            for path in sorted((paths.checkout() / "tests/vm/scenarios").glob("*.yaml"))
        }
    )
    every = [name for name, one in wanted.items() if one.smoke or not smoke]
    every += [] if smoke else [TOOLBOX]
    if unknown := set(names) - set(every):
        raise LabError(f"there is no scenario {', '.join(sorted(unknown))}")
    chosen = [name for name in every if name in names] if names else every
    for name in chosen:
        if passed(rows.get(name), mark):
            print(f"{name}: passed before at this state of the checkout")
            continue
        told, broken = _toolbox() if name == TOOLBOX else _run_one(name, wanted[name])
        rows[name] = _row(name, told, broken, mark, commit)
        save(store, rows)
        write_table(results, [rows[one] for one in every if one in rows])
    write_table(results, [rows[one] for one in every if one in rows])
    wrong = [name for name in chosen if rows[name].result != Result.PASSED]
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} scenarios passed; table: {results}")
    return 1 if wrong else 0


def in_order(scenarios: Mapping[str, Scenario]) -> dict[str, Scenario]:
    """Those first that keep a snapshot, which others start from. Pure."""

    def starts_later(name: str) -> bool:
        return not any(step.snapshot for step in scenarios[name].steps)

    return {name: scenarios[name] for name in sorted(scenarios, key=starts_later)}


def passed(row: Row | None, mark: str) -> bool:
    """Whether a scenario passed with the checkout as it is now."""
    return row is not None and row.result == Result.PASSED and row.fingerprint == mark


def fingerprint() -> tuple[str, str]:
    """A hash of everything that can change an outcome, and the commit's short name."""
    git = ["git", "-C", str(paths.checkout())]
    tree = run_command([*git, "ls-files", "-s", "--", ".", *_NOT_INPUT]).stdout_bytes
    changes = run_command([*git, "diff", "HEAD", "--", ".", *_NOT_INPUT]).stdout_bytes
    commit = run_command([*git, "rev-parse", "--short", "HEAD"]).stdout.strip()
    return hashlib.sha256(tree + b"\0" + changes).hexdigest(), commit + ("+" if changes else "")


def load(store: Path) -> dict[str, Row]:
    """The remembered rows by scenario."""
    if not store.exists():
        return {}
    return {row["scenario"]: Row(**row) for row in json.loads(store.read_text(encoding="utf-8"))}


def save(store: Path, rows: dict[str, Row]) -> None:
    """Remember rows; the file is replaced at once."""
    fresh = store.with_suffix(".new")
    fresh.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1))
    fresh.replace(store)


def table(rows: list[Row]) -> str:
    """The Markdown table."""
    lines = [
        "# Virtual machine scenarios",
        "",
        "Written by `trident-lab suite` (`make test-vm`). Times include setting up; images come",
        "from the cache. `infra` counts runs that the virtual hardware broke (guest kernel crash).",
        "",
        "| scenario | result | seconds | infra | figures | date (UTC) | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.scenario} | {row.result} | {row.seconds:.0f} | {row.infrastructure_failures} "
        f"| {row.figures} | {row.date} | {row.commit} |"
        for row in rows
    ]
    reasons = [f"- {row.scenario}: {row.reason}" for row in rows if row.reason]
    return "\n".join([*lines, *(["", "Not passed:", "", *reasons] if reasons else [])]) + "\n"


def write_table(path: Path, rows: list[Row]) -> None:
    """Write the table; its folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table(rows), encoding="utf-8")


def figures(told: Report) -> str:
    """Times of the steps that waited, and how often the firmware started something."""
    waited = [f"{step.seconds:.0f}" for step in told.steps if step.step == "wait"]
    starts = ", ".join(str(len(machine.started)) for machine in told.machines)
    return f"waits {' + '.join(waited) or '0'} s; firmware starts {starts or '0'}"


def _run_one(name: str, wanted: Scenario) -> tuple[Report, int]:
    """The last report of a scenario, and how many runs the virtual hardware broke."""
    broken = 0
    while True:
        told = runner.run(name, wanted)
        report.write(paths.build("vm/reports") / f"{name}.json", told.to_json())
        if told.result is not Result.INFRASTRUCTURE:
            return told, broken
        broken += 1
        if broken == INFRASTRUCTURE_RUNS:
            return told, broken


def _toolbox() -> tuple[Report, int]:
    """The tests marked `toolbox` as one line of the table."""
    started = datetime.now(UTC)
    told = Report(TOOLBOX, started.isoformat(timespec="seconds"))
    try:
        status = toolbox.run(toolbox.DEFAULT_ARGUMENTS)
        told.result = Result.PASSED if status == 0 else Result.FAILED
        told.reason = None if status == 0 else f"pytest ended with {status}"
    except LabError as error:
        told.result, told.reason = Result.FAILED, error.message
    told.seconds = (datetime.now(UTC) - started).total_seconds()
    return told, 0


def _row(name: str, told: Report, broken: int, mark: str, commit: str) -> Row:
    return Row(
        scenario=name,
        result=str(told.result),
        seconds=round(told.seconds, 1),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        fingerprint=mark,
        commit=commit,
        infrastructure_failures=broken,
        figures=figures(told),
        reason=told.reason,
    )
