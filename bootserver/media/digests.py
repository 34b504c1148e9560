"""The SHA-384 of whole images, known before they are sent, and remembered in the database.

The first time, the image is compared with its map and read once to where the first change lies;
from then on, a machine's digest costs reading what is behind that; asked again, it costs a query.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from agent.medium import composite, overlay_map
from agent.medium.composite import Laid
from bootserver.database import DIGESTS, Database
from bootserver.media.baseimage import Base, unavailable

if TYPE_CHECKING:
    from hashlib import _Hash


class Digests:
    """Computes and remembers. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._beginning: tuple[str, int, _Hash] | None = None

    def sha384(self, base: Base, laid: Laid) -> str:
        """Of `base` with `laid` over it, in hexadecimal.

        Raises overlay-map-wrong, medium-unavailable.
        """
        named = laid.sha384
        known = self._known(base.key, named)
        if known is not None:
            return known
        with self._lock:
            return self._known(base.key, named) or self._compute(base, laid, named)

    def _compute(self, base: Base, laid: Laid, named: str) -> str:
        with base.opened() as image:
            try:
                before = self._before(base, image, laid)
                found = composite.digest(image, laid, base.size, before)
            except OSError as error:
                raise unavailable(base.path, error) from error
        with self._database.writing() as connection:
            connection.execute(delete(DIGESTS).where(DIGESTS.c.base != base.key))
            known = delete(DIGESTS).where(DIGESTS.c.base == base.key, DIGESTS.c.laid == named)
            connection.execute(known)
            connection.execute(insert(DIGESTS).values(base=base.key, laid=named, sha384=found))
        return found

    def _before(self, base: Base, image: int, laid: Laid) -> _Hash:
        first = composite.first(laid)
        if self._beginning is None or self._beginning[:2] != (base.key, first):
            overlay_map.verify(image, base.drawn)
            self._beginning = (base.key, first, composite.digest_before(image, laid))
        return self._beginning[2]

    def _known(self, base: str, laid: str) -> str | None:
        query = select(DIGESTS.c.sha384).where(DIGESTS.c.base == base, DIGESTS.c.laid == laid)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()
