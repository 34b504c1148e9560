"""Turns requests for files into timeline entries of the machines that made them.

A machine is known by its address: from the kernel's table of neighbours on the same link, else as
DHCP or an earlier request with its MAC has shown it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Final

from bootserver.http.files import Served
from bootserver.reports import neighbors
from bootserver.reports.state import Seen
from bootserver.store import Note, Source, Store

_ADDRESS_MEMORY_S: Final = 2.0
_MAX_REMEMBERED: Final = 4096
_MAX_NOTES: Final = 64
"""Entries per machine and file: a BMC may read an image by thousands of ranges."""


class Observer:
    """Writes what machines fetch into their timelines. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._addresses: dict[str, tuple[float, str | None]] = {}
        self._noted: Counter[tuple[str, str]] = Counter()

    def machine_at(self, address: str) -> str | None:
        """MAC of the machine that uses this address now; None when nobody knows that machine."""
        now = time.monotonic()
        with self._lock:
            until, mac = self._addresses.get(address, (0.0, None))
        if now < until:
            return mac
        neighbor = neighbors.mac_of(address)
        if neighbor is not None and self._store.record(neighbor) is not None:
            mac = neighbor
        else:
            mac = self._store.find_by_address(address)
        self._remember(address, mac, now)
        return mac

    def saw(self, mac: str, address: str, serial: str | None = None) -> None:
        """A request named this MAC: remember where it came from."""
        record = self._store.record(mac)
        serial = serial or None
        if record is None or record.address != address or (serial and record.serial != serial):
            self._store.apply(mac, (Seen(address=address, serial=serial),))
        self.learned(mac, address)

    def learned(self, mac: str, address: str) -> None:
        """The machine has this address from now on."""
        self._remember(address, mac, time.monotonic())

    def note(self, mac: str, source: Source, event: str, **detail: str | int | bool) -> None:
        """Write one entry."""
        self._store.apply(mac, (), (Note(source, event, detail),))

    def served(self, request: Served) -> None:
        """A file was asked for."""
        event = _event(request)
        mac = self.machine_at(request.address) if event else None
        if event is None or mac is None or not self._count(mac, request.path):
            return
        self.note(
            mac,
            "http",
            event,
            path=f"/{request.folder}/{request.path}",
            status=request.status,
            start=request.start,
            bytes=request.length,
        )

    def _count(self, mac: str, path: str) -> bool:
        with self._lock:
            if len(self._noted) >= _MAX_REMEMBERED:
                self._noted.clear()
            self._noted[mac, path] += 1
            return self._noted[mac, path] <= _MAX_NOTES

    def _remember(self, address: str, mac: str | None, now: float) -> None:
        with self._lock:
            if len(self._addresses) >= _MAX_REMEMBERED:
                self._addresses.clear()
            self._addresses[address] = (now + _ADDRESS_MEMORY_S, mac)


def _event(request: Served) -> str | None:
    if request.method != "GET":
        return None
    if request.folder == "files":
        return "image"
    return "rootfs" if request.path == "rootfs.squashfs" else None
