"""The serial line between a machine and the lab: two FIFOs, and a thread that keeps a log.

QEMU 7's own log of a character device repeats bytes whenever the other end is slow, and a socket
holds only some 250 single bytes; a FIFO holds 64 KiB, and the log is written from what came out.
"""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

_CHUNK = 65536
_LOOK_S = 0.2
"""How soon the thread notices that it is to end."""


class SerialLine:
    """FIFOs `<base>.in` and `<base>.out` for QEMU's pipe device, copied into a log file."""

    def __init__(self, base: Path, log: Path) -> None:
        self.base = base
        self.log = log
        self._ending = threading.Event()
        self._copying: threading.Thread | None = None

    @property
    def input(self) -> Path:
        """The FIFO to write what is typed into."""
        return Path(f"{self.base}.in")

    @property
    def output(self) -> Path:
        return Path(f"{self.base}.out")

    def open(self) -> None:
        """Make the FIFOs and begin to copy. Call before QEMU starts."""
        for fifo in (self.input, self.output):
            fifo.unlink(missing_ok=True)
            os.mkfifo(fifo, 0o600)
        reading = os.open(self.output, os.O_RDONLY | os.O_NONBLOCK)
        self._ending.clear()
        self._copying = threading.Thread(target=self._copy, args=(reading,), daemon=True)
        self._copying.start()

    def close(self) -> None:
        """End copying when all that was printed is in the log."""
        if self._copying is not None:
            self._ending.set()
            self._copying.join()
        self._copying = None

    def type(self, data: bytes) -> None:
        """Give the machine some input. Raises OSError when nothing reads it."""
        writing = os.open(self.input, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(writing, data)
        finally:
            os.close(writing)

    def _copy(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as source, self.log.open("ab", 0) as log:
            while True:
                ending = self._ending.is_set()
                ready, _, _ = select.select([source], [], [], 0 if ending else _LOOK_S)
                data = source.read(_CHUNK) if ready else None
                if data:
                    log.write(data)
                elif ending:
                    return
                elif ready:  # no writer yet: the FIFO reads as ended
                    self._ending.wait(_LOOK_S)
