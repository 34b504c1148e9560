"""gunicorn's log goes where the boot server's does; requests are logged by the application."""

from __future__ import annotations

import logging
import sys
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

    def exception(self, msg: Any, *arguments: Any, **options: Any) -> None:
        """A client that fell silent in the middle of a request is no fault of ours."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.error_log.debug("a client stopped in the middle of its request")
        else:
            self.error_log.exception(msg, *arguments, **options)

    def access(self, *_arguments: Any) -> None:
        """Nothing: the application logs with the machine's MAC."""
