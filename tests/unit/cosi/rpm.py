"""RPM's SQLite database, made byte by byte as RPM's manual describes its headers."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

STRING, INT32, I18N = 6, 4, 9
NAME, VERSION, RELEASE, SUMMARY, SIZE, ARCH = 1000, 1001, 1002, 1004, 1009, 1022


def header(*entries: tuple[int, int, bytes]) -> bytes:
    """An RPM header: index of (tag, type, offset, count), then the data."""
    index, store = b"", b""
    for tag, kind, data in entries:
        index += struct.pack(">IIII", tag, kind, len(store), 1)
        store += data
    return struct.pack(">II", len(entries), len(store)) + index + store


def package(name: str, version: str, release: str, arch: str | None) -> bytes:
    entries = [
        (NAME, STRING, name.encode() + b"\0"),
        (VERSION, STRING, version.encode() + b"\0"),
        (RELEASE, STRING, release.encode() + b"\0"),
        (SUMMARY, I18N, b"not this\0"),
        (SIZE, INT32, struct.pack(">I", 7)),
    ]
    if arch is not None:
        entries.append((ARCH, STRING, arch.encode() + b"\0"))
    return header(*entries)


def database(file: Path, headers: list[bytes], *, journal: str = "delete") -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute(
        "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"
    )
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(h,) for h in headers])
    connection.commit()
    return connection
