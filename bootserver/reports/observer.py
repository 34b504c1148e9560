"""Turns requests for files into timeline entries of the machines that made them.

A machine is known by its address: from the kernel's table of neighbours on the same link, else as
DHCP or an earlier request with its MAC has shown it.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from bootserver.http.files import ISO, Served
from bootserver.reports import neighbors
from bootserver.reports.state import Seen
from bootserver.store import Note, Source, Store

_ADDRESS_MEMORY_S: Final = 2.0
_MAX_REMEMBERED: Final = 4096
_MAX_NOTES: Final = 64
"""Entries per machine and file in one period: a BMC reads an image by thousands of ranges."""
_NOTES_PERIOD_S: Final = 600.0


class Observer:
    """Writes what machines fetch into their timelines. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._addresses: dict[str, tuple[float, str | None]] = {}
        self._noted: dict[tuple[str, str], tuple[float, int]] = {}

    def machine_at(self, address: str) -> str | None:
        """MAC of the machine that uses this address; None when nobody knows that machine."""
        neighbor = neighbors.mac_of(address)
        if neighbor is not None and self._store.record(neighbor) is not None:
            return neighbor
        return self._store.find_by_address(address)

    def saw(self, mac: str, address: str, serial: str | None = None) -> None:
        """A request named this MAC: remember where it came from."""
        record = self._store.record(mac)
        serial = serial or None
        if record is None or record.address != address or (serial and record.serial != serial):
            self._store.apply(mac, (Seen(address=address, serial=serial),))

    def note(self, mac: str, source: Source, event: str, **detail: str | int | bool) -> None:
        """Write one entry."""
        self._store.apply(mac, (), (Note(source, event, detail),))

    def served(self, request: Served) -> None:
        """A file was asked for."""
        event = _event(request)
        mac = self._subject(request) if event else None
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

    def _subject(self, request: Served) -> str | None:
        """Whose entry it is. An ISO image names its machine: a service processor may read it."""
        if request.folder == ISO:
            return request.mac
        return self._lately_at(request.address)

    def _count(self, mac: str, path: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if len(self._noted) >= _MAX_REMEMBERED:
                self._noted.clear()
            until, count = self._noted.get((mac, path), (0.0, 0))
            if now >= until:
                until, count = now + _NOTES_PERIOD_S, 0
            self._noted[mac, path] = (until, count + 1)
            return count < _MAX_NOTES

    def _lately_at(self, address: str) -> str | None:
        """`machine_at`, asked at most every two seconds: files are read in many small ranges."""
        now = time.monotonic()
        with self._lock:
            until, mac = self._addresses.get(address, (0.0, None))
        if now < until:
            return mac
        mac = self.machine_at(address)
        with self._lock:
            if len(self._addresses) >= _MAX_REMEMBERED:
                self._addresses.clear()
            self._addresses[address] = (now + _ADDRESS_MEMORY_S, mac)
        return mac


def _event(request: Served) -> str | None:
    if request.method != "GET":
        return None
    if request.folder == ISO:
        return "iso" if request.status < 400 else None
    if request.folder == "files":
        return "image"
    return "rootfs" if request.path == "rootfs.squashfs" else None
