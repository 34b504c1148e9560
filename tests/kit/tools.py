"""What a test needs and the machine lacks: a skip on a laptop, a failure under REQUIRE_TOOLS=1."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def unavailable(why: str) -> NoReturn:
    """End the running test: it cannot be run here, and `why`."""
    if os.environ.get("REQUIRE_TOOLS") == "1":
        pytest.fail(why)
    pytest.skip(why)
