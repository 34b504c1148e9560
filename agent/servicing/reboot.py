"""Rebooting the machine."""

from __future__ import annotations

import logging
import threading

from agent.api.errors import Kind, TridentError
from agent.linux import systemd

TIMEOUT_S = 600.0

log = logging.getLogger(__name__)


def reboot(timeout_s: float = TIMEOUT_S) -> None:
    """Ask for a reboot and wait for it. Does not return.

    Raises servicing/reboot-timeout when the machine is still up after `timeout_s`.
    """
    log.info("rebooting")
    systemd.reboot()
    threading.Event().wait(timeout_s)
    raise TridentError(
        Kind.SERVICING,
        "reboot-timeout",
        f"the machine did not reboot within {timeout_s:g} s",
        hint="see which units do not stop (systemctl list-jobs), then reboot it by hand",
    )
