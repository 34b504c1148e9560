"""Keeps the agents' log and trace records: one JSON line each, in files per machine.

A line is written by one system call to a file opened for appending, so it survives a kill of the
server and workers do not tear each other's lines. A full file is renamed to `.1`, replacing the
one before.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import JsonValue

MAX_BYTES: Final = 16 << 20

Stream = Literal["log", "trace"]


class ReportFiles:
    """The folder of report files, made when first needed."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "reports"

    def path(self, mac: str, stream: Stream) -> Path:
        """The file of a machine's records."""
        return self._folder / f"{mac.replace(':', '-')}.{stream}.jsonl"

    def append(self, mac: str, stream: Stream, record: dict[str, JsonValue]) -> None:
        """Add a record, with the time it came in as `received`."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"received": now, **record}, separators=(",", ":")) + "\n"
        path = self.path(mac, stream)
        self._folder.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.write(descriptor, line.encode())
            if os.fstat(descriptor).st_size > MAX_BYTES:
                path.replace(path.with_suffix(".jsonl.1"))
        finally:
            os.close(descriptor)
