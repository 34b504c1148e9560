from __future__ import annotations

from datetime import UTC, datetime

from agent.api.events import OperationFailed, StepDone, StepProgress, StepStarted
from installer.console import ProgressLines

COMMON = {
    "run": "r",
    "sequence": 1,
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "operation": "install",
}


def progress(done: int, total: int) -> StepProgress:
    return StepProgress(**COMMON, step="storage/images", done_bytes=done, total_bytes=total)


def test_a_long_step_writes_one_line_for_each_ten_per_cent() -> None:
    lines: list[str] = []
    show = ProgressLines(lines.append)
    for done in range(1001):
        show(progress(done << 20, 1000 << 20))
    assert len(lines) == 10
    assert lines[0] == "[storage/images] 10 % of 1000 MiB"
    assert lines[-1] == "[storage/images] 100 % of 1000 MiB"


def test_steps_are_named_and_short_ones_end_silently() -> None:
    lines: list[str] = []
    show = ProgressLines(lines.append)
    show(StepStarted(**COMMON, step="storage/fstab", message="writing /etc/fstab"))
    show(StepDone(**COMMON, step="storage/fstab", duration_s=0.1))
    show(StepDone(**COMMON, step="storage/images", duration_s=12.34))
    assert lines == ["[storage/fstab] writing /etc/fstab", "[storage/images] done in 12.3 s"]


def test_a_step_of_no_bytes_divides_by_nothing() -> None:
    lines: list[str] = []
    ProgressLines(lines.append)(progress(0, 0))
    assert lines == []


def test_a_failure_is_a_line_of_its_own() -> None:
    lines: list[str] = []
    ProgressLines(lines.append)(
        OperationFailed(**COMMON, kind="servicing", code="command-failed", message="mkfs failed")
    )
    assert lines == ["install FAILED: mkfs failed"]
