"""The boot server's TFTP on loopback, in a thread, over a folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from bootserver.tftp import content
from bootserver.tftp.server import Limits, Resolve, TftpServer
from bootserver.tftp.session import TftpEvent
from lab import waiting

LOOPBACK = IPv4Address("127.0.0.1")
OPEN_LIMITS = Limits(per_client=2048)


@dataclass
class Serving:
    """A server that runs, and the events it told."""

    server: TftpServer
    events: list[TftpEvent] = field(default_factory=list)

    @property
    def at(self) -> tuple[str, int]:
        return str(self.server.address), self.server.port

    def told(self, event: str, number: int = 1) -> list[TftpEvent]:
        """Wait until `number` events of that name were told; all of them."""

        def enough() -> list[TftpEvent] | None:
            found = [one for one in self.events if one.event == event]
            return found if len(found) >= number else None

        return waiting.until(enough, limit_s=10, what=f"{number} events '{event}'", poll_s=0.01)

    def idle(self) -> None:
        """Wait until no transfer is open."""
        waiting.until(
            lambda: self.server.active == 0, limit_s=10, what="all transfers to end", poll_s=0.01
        )


@contextmanager
def serving(
    root: Path,
    limits: Limits = OPEN_LIMITS,
    address: IPv4Address = LOOPBACK,
    resolve: Resolve | None = None,
) -> Iterator[Serving]:
    """Serve `root` (or what `resolve` gives) on a free port while the block runs."""
    events: list[TftpEvent] = []
    found = resolve or (lambda name, _client: content.under(root, name))
    server = TftpServer(address, 0, found, events.append, limits)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), name="tftp")
    thread.start()
    try:
        yield Serving(server, events)
    finally:
        stop.set()
        thread.join()
