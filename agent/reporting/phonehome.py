"""phonehome: tells the orchestrator that servicing started, failed or succeeded.

POST of `{state, message, host_status}`; `host_status` is the Host Status as YAML or null. Sending
happens in the background: a machine without a network is serviced all the same.
"""

from __future__ import annotations

import json
from enum import StrEnum

from agent.reporting.sender import Sender


class State(StrEnum):
    """What a report says."""

    STARTED = "started"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class Phonehome:
    """The reports of one run to one URL."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def report(self, state: State, message: str, host_status: str | None = None) -> None:
        """Queue one report. `host_status` must hold no secrets."""
        body = {"state": str(state), "message": message, "host_status": host_status}
        self._sender.post(json.dumps(body, ensure_ascii=False).encode())
