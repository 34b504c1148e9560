"""Waiting for the reboot: the shutdown's SIGTERM is what was asked for, no failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from agent.api.errors import Kind, TridentError
from agent.servicing.reboot import reboot

FAILURE = TridentError(Kind.SERVICING, "command-failed", "systemctl was killed by signal 15")


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


def test_a_shutdown_that_ends_systemctl_first_is_no_error() -> None:
    def killed() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise FAILURE

    reboot(timeout_s=30, ask=killed)


def test_a_reboot_that_is_refused_is_an_error() -> None:
    def refused() -> None:
        raise FAILURE

    with pytest.raises(TridentError) as told:
        reboot(timeout_s=30, ask=refused)
    assert told.value is FAILURE
