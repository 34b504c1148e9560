"""gunicorn's log goes where the boot server's does; requests are logged by the application."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger


class Logger(GunicornLogger):  # type: ignore[misc]
    """Leaves handlers and levels to the process' own logging."""

    def setup(self, cfg: Any) -> None:
        """Use the root logger's handlers."""
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.setLevel(logging.WARNING)
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.setLevel(logging.CRITICAL)
        self.cfg = cfg

    def access(self, *_arguments: Any) -> None:
        """Nothing: the application logs with the machine's MAC."""
