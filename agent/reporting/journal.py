"""Metrics in the systemd journal, under an identifier of their own. systemd.journal-fields(7).

The native protocol: one datagram of `FIELD=value` lines. An entry that the journal does not take
is lost: it is in the metrics file too.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import agent

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "trident-tracing"
_INFO = "6"


def encode(fields: dict[str, str]) -> bytes:
    """The datagram for an entry. Values must hold no line ends. Pure."""
    return "".join(f"{name}={value}\n" for name, value in fields.items()).encode()


class JournalMetrics:
    """A sink for metrics; does nothing where no journal runs."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def __call__(self, entry: bytes) -> None:
        fields = {
            "MESSAGE": entry.decode(),
            "PRIORITY": _INFO,
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "VERSION": agent.__version__,
        }
        with contextlib.suppress(OSError):
            self._socket.sendto(encode(fields), str(self._path))

    def close(self) -> None:
        self._socket.close()
