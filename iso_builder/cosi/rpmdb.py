"""Packages in RPM's database, `rpmdb.sqlite` (RPM 4.16 and later), read without RPM.

Each row of `Packages` holds one header: RPM 4.18 `docs/manual/format_header.md`, without the magic.
The older Berkeley and ndb databases are not read.
"""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from agent.api.errors import Kind, TridentError
from iso_builder.cosi.inventory import Package

_NAME, _VERSION, _RELEASE, _ARCH = 1000, 1001, 1002, 1022
_WANTED = (_NAME, _VERSION, _RELEASE, _ARCH)
_STRING = 6
_ENTRY = struct.Struct(">IIII")
_MAX_ENTRIES = 65535
_KEYS = "gpg-pubkey"
"""RPM keeps imported keys as packages of this name; they have no architecture."""


def packages(database: Path) -> tuple[Package, ...]:
    """The installed packages, sorted by name. Raises corrupt-os-image."""
    uri = f"file:{quote(str(database))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            found = [
                parse_header(row[0]) for row in connection.execute("SELECT blob FROM Packages")
            ]
    except (sqlite3.Error, struct.error) as error:
        raise _damaged(str(error)) from error
    installed = [package for package in found if package.name != _KEYS]
    return tuple(
        sorted(installed, key=lambda package: (package.name, package.arch, package.version))
    )


def parse_header(header: bytes) -> Package:
    """Name, version, release and architecture in an RPM header. Raises corrupt-os-image."""
    if not isinstance(header, bytes) or len(header) < 8:
        raise _damaged("a package has no header")
    count, size = struct.unpack_from(">II", header)
    store = 8 + count * _ENTRY.size
    if count > _MAX_ENTRIES or store + size > len(header):
        raise _damaged("the header of a package is cut off")
    texts: dict[int, str] = {}
    for index in range(count):
        tag, kind, offset, _ = _ENTRY.unpack_from(header, 8 + index * _ENTRY.size)
        if tag in _WANTED and kind == _STRING and offset < size:
            end = header.find(b"\0", store + offset, store + size)
            text = header[store + offset : end if end >= 0 else store + size]
            texts[tag] = text.decode("utf-8", "replace")
    if _NAME not in texts or _VERSION not in texts:
        raise _damaged("a package has no name or no version")
    return Package(
        texts[_NAME], texts[_VERSION], texts.get(_RELEASE, ""), texts.get(_ARCH, "noarch")
    )


def _damaged(why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "corrupt-os-image",
        f"the RPM database of the image cannot be read: {why}",
        hint="check it inside the image with 'rpm --verifydb', or rebuild it: 'rpm --rebuilddb'",
    )
