"""The CPU architecture of this machine, and so of every system that it runs."""

from __future__ import annotations

import os

from agent.api.parttypes import Architecture


def running() -> Architecture:
    """As the kernel names it. Raises ValueError on one that the agent does not know."""
    return Architecture(os.uname().machine)
