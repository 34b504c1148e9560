"""Writes what DHCP and TFTP see into the timelines, without making either of them wait.

One thread takes whatever has gathered and writes it as one transaction, so a storm of requests
costs few disk flushes. When the queue is full, entries are dropped and counted: booting a rack goes
before describing it.
"""

from __future__ import annotations

import logging
import queue
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from bootserver.dhcp.exchange import DhcpEvent
from bootserver.hosts import Hosts
from bootserver.reports.observer import Observer
from bootserver.reports.state import BootStarted, Report, Seen
from bootserver.store import Change, Note, Store
from bootserver.tftp.session import TftpEvent

_LOG = logging.getLogger(__name__)
_CAPACITY: Final = 10_000
_BATCH: Final = 256
_REQUESTS: Final = ("discover", "request")
_BOOT_ANSWERS: Final = ("ack", "proxy-offer")
_BOOT_CLASSES: Final = ("PXEClient", "HTTPClient")


class Journal:
    """The queue and the thread's body."""

    def __init__(self, store: Store, hosts: Hosts, observer: Observer) -> None:
        self._store = store
        self._hosts = hosts
        self._observer = observer
        self._queue: queue.Queue[tuple[datetime, DhcpEvent | TftpEvent] | None] = queue.Queue(
            _CAPACITY
        )
        self.dropped = 0

    def add(self, event: DhcpEvent | TftpEvent) -> None:
        """Note an event. Never blocks."""
        try:
            self._queue.put_nowait((datetime.now(UTC), event))
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                _LOG.warning("the timeline cannot keep up: entries are dropped")

    def close(self) -> None:
        """Make `run` end once everything noted so far is written."""
        self._queue.put(None)

    def run(self) -> None:
        """Write until closed."""
        while (first := self._queue.get()) is not None:
            gathered = [first]
            ending = False
            while len(gathered) < _BATCH and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    ending = True
                    break
                gathered.append(item)
            self._write(gathered)
            if ending:
                return

    def _write(self, gathered: list[tuple[datetime, DhcpEvent | TftpEvent]]) -> None:
        """The door of this thread: what cannot be written is lost, the next is tried again."""
        try:
            self._apply(gathered)
        except Exception:  # noqa: BLE001
            self.dropped += len(gathered)
            _LOG.exception("%d timeline entries are lost", len(gathered))

    def _apply(self, gathered: list[tuple[datetime, DhcpEvent | TftpEvent]]) -> None:
        """Write in order; who a TFTP client is may depend on the DHCP events before it."""
        pending: list[Change] = []
        for time, event in gathered:
            if isinstance(event, DhcpEvent):
                if self._concerns_us(event, pending):
                    pending.append(_dhcp_change(time, event))
                continue
            self._store.apply_all(pending)
            pending = []
            mac = self._observer.machine_at(event.client)
            if mac is not None:
                detail: dict[str, JsonValue] = {"file": event.file, **event.detail}
                pending.append(Change(mac, (), (Note("tftp", event.event, detail, time),)))
        self._store.apply_all(pending)

    def _concerns_us(self, event: DhcpEvent, pending: list[Change]) -> bool:
        """Whether the machine is known, declared, or asks to boot now."""
        if _asks_to_boot(event) or any(change.mac == event.mac for change in pending):
            return True
        known = self._store.record(event.mac) is not None
        return known or self._hosts.find(event.mac, None) is not None


def _dhcp_change(time: datetime, event: DhcpEvent) -> Change:
    detail: dict[str, JsonValue] = {"xid": f"{event.xid:08x}", **event.detail}
    return Change(event.mac, _reports(event), (Note("dhcp", event.event, detail, time),))


def _asks_to_boot(event: DhcpEvent) -> bool:
    vendor_class = str(event.detail.get("vendorClass", ""))
    return vendor_class.startswith(_BOOT_CLASSES) or bool(event.detail.get("ipxe"))


def _reports(event: DhcpEvent) -> tuple[Report, ...]:
    """What a DHCP event says of the machine's record."""
    reports: list[Report] = []
    if event.event in _REQUESTS and _asks_to_boot(event):
        reports.append(Seen(architecture=_text(event, "architecture"), uuid=_text(event, "uuid")))
    if event.event == "ack" and (address := _text(event, "address")):
        reports.append(Seen(address=address))
    if event.event in _BOOT_ANSWERS and _is_loader(_text(event, "boot")):
        reports.append(BootStarted())
    return tuple(reports)


def _is_loader(boot: str | None) -> bool:
    """A loader, not the URL of a script: what a script says, its request will tell."""
    return boot is not None and "/ipxe/" not in boot


def _text(event: DhcpEvent, key: str) -> str | None:
    value = event.detail.get(key)
    return value if isinstance(value, str) else None
