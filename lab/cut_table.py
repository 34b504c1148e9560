"""The Markdown table of the power cuts in reports of scenarios. Pure but for reading the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.errors import LabError

_COLUMNS = (
    *("cut at", "datastore", "BootNext", "BootOrder", "ESP files", "ESP", "state"),
    *("then started", "held"),
)


def of_reports(paths: Sequence[Path]) -> str:
    """One section for each report. Raises LabError for what is no report with power cuts."""
    parts = [
        "# Power cuts",
        "",
        "Written by `trident-lab cuts`. Each line is one moment at which the power was cut: what",
        "was found on the disk and in NVRAM (equal states have equal names), which boot entries",
        "the firmware started afterwards, and whether everything held that the scenario asks for.",
    ]
    for path in paths:
        parts += ["", *_section(_read(path))]
    return "\n".join(parts) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read as a report: {error}") from error
    if not told.get("cuts"):
        raise LabError(f"{path} holds no power cuts", hint="use a scenario with recordCuts")
    return told


def _section(told: dict[str, Any]) -> Iterator[str]:
    cuts = told["cuts"]
    states = {cut["found"]["combination"] for cut in cuts}
    held = sum(cut["complaint"] is None for cut in cuts)
    booted = sum(bool(cut["started"]) for cut in cuts)
    yield f"## {told['scenario']}"
    yield ""
    yield (
        f"{told['startedAt']}, {told['seconds']:.0f} s: {booted} of {len(cuts)} booted,"
        f" {held} held, {len(states)} distinct states."
    )
    yield ""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for cut in cuts:
        yield "| " + " | ".join(_cells(cut)) + " |"


def _cells(cut: dict[str, Any]) -> Iterator[str]:
    found = cut["found"]
    active = found["active"] or "-"
    yield f"`{cut['marker'][:90].replace('|', '/').strip()}`"
    yield f"{found['servicingState']}, {active}"
    yield found["bootNext"] or "-"
    yield ", ".join(found["bootOrder"]) or "-"
    yield str(len(found["esp"]))
    yield found["espCheck"][:60].replace("|", "/")
    yield found["combination"]
    yield ", ".join(cut["started"]) or "-"
    yield "yes" if cut["complaint"] is None else f"no: {cut['complaint'][:120].replace('|', '/')}"
