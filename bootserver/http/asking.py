"""Whether a request is a machine's own or somebody looking at what the machine would get."""

from __future__ import annotations

from flask import request


def only_looks() -> bool:
    """HEAD, or `?look`: answer as for the machine, but change and record nothing."""
    return request.method == "HEAD" or "look" in request.args
