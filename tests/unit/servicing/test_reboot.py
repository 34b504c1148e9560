"""Waiting for the reboot: the shutdown's SIGTERM is what was asked for, no failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from agent.api.errors import TridentError
from agent.servicing.reboot import reboot


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_sigterm_of_the_shutdown_ends_the_wait_without_an_error() -> None:
    reboot(timeout_s=30, ask=lambda: os.kill(os.getpid(), signal.SIGTERM))


def test_a_machine_that_stays_up_is_an_error() -> None:
    with pytest.raises(TridentError, match="did not reboot") as told:
        reboot(timeout_s=0.05, ask=lambda: None)
    assert told.value.code == "reboot-timeout"
    assert "list-jobs" in str(told.value.hint)
