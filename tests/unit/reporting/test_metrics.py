"""Metrics: what an operation took is told when it ends, well or not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.api.events import Event, OperationDone, OperationFailed, OperationStarted
from agent.reporting.metrics import Metrics

COMMON: dict[str, Any] = {"run": "r", "sequence": 1, "time": datetime(2026, 1, 1, tzinfo=UTC)}
STARTED = OperationStarted(**COMMON, operation="update", version="0.1.0")
DONE = OperationDone(
    **COMMON | {"time": datetime(2026, 1, 1, 0, 1, tzinfo=UTC)},
    operation="update",
    servicing_state="ab-update-staged",
    reboot=False,
)
FAILED = OperationFailed(
    **COMMON, operation="update", kind="servicing", code="mkfs", message="no", hint=None, context=()
)


def told(*events: Event) -> dict[str, Any]:
    entries: list[bytes] = []
    metrics = Metrics((entries.append,))
    for event in events:
        metrics(event)
    return {one["metric_name"]: one for one in (json.loads(entry) for entry in entries)}


@pytest.mark.parametrize("end", [DONE, FAILED], ids=["done", "failed"])
def test_an_operation_ends_with_its_memory_and_processor_time(end: Event) -> None:
    metrics = told(STARTED, end)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now = int(status["VmHWM"].split()[0]) << 10
    assert 0.5 * now <= metrics["peak_memory_usage"]["value"] <= now
    assert metrics["peak_memory_usage"]["additional_fields"]["unit"] == "B"
    assert metrics["total_cpu_time"]["value"] > 0


def test_an_update_tells_how_long_it_took() -> None:
    metrics = told(STARTED, DONE)
    assert metrics["update_time_secs"]["value"] == 60.0
    assert metrics["ab_update_success"]["value"] is True
