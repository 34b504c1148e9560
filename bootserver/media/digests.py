"""The SHA-384 of whole images, known before they are sent, and remembered in the database.

The first time, the image is compared with its map and read once to where the first change lies;
from then on, a machine's digest costs reading what is behind that; asked again, it costs a query.
"""

from __future__ import annotations

import threading
from typing import Final

from sqlalchemy import delete, insert, select

from agent.medium import composite, overlay_map
from agent.medium.composite import Beginning, Laid
from bootserver.database import DIGESTS, Database
from bootserver.media.baseimage import Base, unavailable

_REMEMBERED: Final = 4096


class Digests:
    """Computes and remembers. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._remembered: dict[tuple[str, str], str] = {}
        self._beginning: tuple[str, Beginning] | None = None

    def sha384(self, base: Base, laid: Laid) -> str:
        """Of `base` with `laid` over it, in hexadecimal.

        Raises overlay-map-wrong, medium-unavailable.
        """
        named = (base.key, laid.sha384)
        found = self._remembered.get(named)
        if found is not None:
            return found
        with self._lock:
            found = self._known(*named) or self._compute(base, laid)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[named] = found
        return found

    def _compute(self, base: Base, laid: Laid) -> str:
        with base.opened() as image:
            try:
                before = self._before(base, image, laid)
                found = composite.digest(image, laid, base.size, before)
            except OSError as error:
                raise unavailable(base.path, error) from error
        row = {"base": base.key, "laid": laid.sha384}
        same = (DIGESTS.c.base == base.key) & (DIGESTS.c.laid == laid.sha384)
        with self._database.writing() as connection:
            connection.execute(delete(DIGESTS).where((DIGESTS.c.base != base.key) | same))
            connection.execute(insert(DIGESTS).values(row | {"sha384": found}))
        return found

    def _before(self, base: Base, image: int, laid: Laid) -> Beginning:
        """The digest up to where something is laid over; compares the image with its map once."""
        if self._beginning is not None:
            key, before = self._beginning
            if key == base.key and before.end == laid.first:
                return before
        before = overlay_map.verify(image, base.drawn, laid)
        self._beginning = (base.key, before)
        return before

    def _known(self, base: str, laid: str) -> str | None:
        query = select(DIGESTS.c.sha384).where(DIGESTS.c.base == base, DIGESTS.c.laid == laid)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()
