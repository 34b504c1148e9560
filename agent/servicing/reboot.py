"""Rebooting the machine."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from agent.api.errors import Kind, TridentError
from agent.linux import systemd

TIMEOUT_S = 600.0
_GRACE_S = 2.0

log = logging.getLogger(__name__)


def reboot(timeout_s: float = TIMEOUT_S, ask: Callable[[], None] = systemd.reboot) -> None:
    """Ask for a reboot and wait for it: returns when the shutdown ends this process (SIGTERM).

    Raises servicing/reboot-timeout when the machine is still up after `timeout_s`.
    """
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    log.info("rebooting")
    try:
        ask()
    except TridentError:
        # The shutdown may be quicker than systemctl, and end that first.
        if not stopped.wait(_GRACE_S):
            raise
    if stopped.wait(timeout_s):
        return
    raise TridentError(
        Kind.SERVICING,
        "reboot-timeout",
        f"the machine did not reboot within {timeout_s:g} s",
        hint="see which units do not stop (systemctl list-jobs), then reboot it by hand",
    )
