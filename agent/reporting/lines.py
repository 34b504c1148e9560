"""A file that gets whole lines or none: a full disk costs the rest of a log, no operation."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class LinesFile:
    """A fresh file, readable by its owner only. The first write that fails is the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("wb", buffering=0)
        self._size = 0
        self._ended = False
        path.chmod(0o600)

    def write(self, line: bytes) -> str | None:
        """Append a line and its end; why that was not possible, the first time that it was not."""
        if self._ended:
            return None
        data = line + b"\n"
        try:
            written = self._stream.write(data)
        except OSError as error:
            return self._end(error.strerror or str(error))
        if written != len(data):
            return self._end("No space left on device")
        self._size += written
        return None

    def close(self) -> None:
        self._stream.close()

    def _end(self, why: str) -> str:
        """Take back what was written of the line."""
        self._ended = True
        with contextlib.suppress(OSError):
            os.ftruncate(self._stream.fileno(), self._size)
        return f"{self.path} ends here: {why}"
