"""Rings: what needs root or a host tool skips on a laptop and fails under REQUIRE_TOOLS=1.

Property tests have no deadline (a loaded machine is no defect) and are repeatable under CI.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kit.tools import unavailable

settings.register_profile("trident", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("trident")

NEEDS_ROOT = {"net", "tools", "toolbox"}


def in_toolbox() -> bool:
    """Inside the toolbox VM the kernel has md, dm, partitions and EFI variables."""
    return "trident.toolbox" in Path("/proc/cmdline").read_text().split()


def pytest_runtest_setup(item: pytest.Item) -> None:
    marks = {mark.name for mark in item.iter_markers()}
    if "toolbox" in marks and not in_toolbox():
        pytest.skip("runs inside the toolbox VM: make test-vm")
    if marks & NEEDS_ROOT and os.geteuid() != 0:
        unavailable("needs root")
