"""`/iso/<mac>.iso`: the installation medium of one machine, made while it is read.

Nothing is copied to disk. A stretch of the image's own leaves through sendfile; one that something
was laid over, or all of it, in large blocks. Every answer has the digest of the whole (RFC 9530).
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DatabaseError

from agent.api.errors import TridentError
from agent.medium import composite
from bootserver.http import answering
from bootserver.http.files import ISO, Served
from bootserver.media.media import Image, Media, NoImage
from bootserver.settings import normalize_mac

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LOG = logging.getLogger(__name__)
_SUFFIX: Final = ".iso"
_TYPE: Final = "application/vnd.efi-iso"
_LINES: Final = {
    400: "400 Bad Request",
    404: "404 Not Found",
    422: "422 Unprocessable Content",
    503: "503 Service Unavailable",
}


class IsoServer:
    """Serves the images of `media`."""

    def __init__(self, media: Media, observe: Callable[[Served], None]) -> None:
        self._media = media
        self._observe = observe

    def serves(self, path: str) -> bool:
        """Whether the URL path is that of an image."""
        return path.lstrip("/").partition("/")[0] == ISO

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return answering.not_allowed(start_response)
        asked = _Asked(environ)
        try:
            mac = asked.mac()
            image = self._media.of(mac) if mac is not None else _NO_MAC
            if isinstance(image, NoImage):
                self._observe(asked.told(mac, image.status, 0, 0))
                return _refuse(environ, start_response, image)
            return self._send(asked, mac or "", image, start_response)
        except TridentError as error:
            _LOG.error("%s", error.one_line())
            refusal = NoImage(503, error.message, error.hint or "see the boot server's log")
        except DatabaseError as error:
            _LOG.error("the database cannot be used: %s", error.orig)
            what = "the boot server's database cannot be used"
            refusal = NoImage(503, what, "see its log, try again")
        return _refuse(environ, start_response, refusal)

    def _send(
        self, asked: _Asked, mac: str, image: Image, start_response: StartResponse
    ) -> Iterable[bytes]:
        environ = asked.environ
        digest = base64.b64encode(bytes.fromhex(self._media.sha384(image))).decode()
        common = [("ETag", image.etag), ("Repr-Digest", f"sha-384=:{digest}:")]
        if image.etag in environ.get("HTTP_IF_NONE_MATCH", ""):
            start_response("304 Not Modified", common)
            return []
        selected = answering.selection(environ, image.etag, image.size)
        line, headers, start, length = answering.head(selected, image.size)
        headers += [
            ("Content-Type", _TYPE),
            ("Content-Length", str(length)),
            ("Accept-Ranges", "bytes"),
            ("Cache-Control", "no-cache"),
            *common,
        ]
        self._observe(asked.told(mac, int(line[:3]), start, length))
        if environ["REQUEST_METHOD"] == "HEAD" or length == 0:
            start_response(line, headers)
            return []
        descriptor = image.base.open()
        start_response(line, headers)
        if not image.laid.spares(start, length):
            return _Stretch(descriptor, image, start, length)
        file = os.fdopen(descriptor, "rb", buffering=0)
        file.seek(start)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, composite.BLOCK_BYTES)
        return wrapped


class _Stretch:
    """A body that is put together while it is sent; the server closes it, whatever happens."""

    def __init__(self, descriptor: int, image: Image, start: int, length: int) -> None:
        self._descriptor = descriptor
        self._blocks = composite.blocks(descriptor, image.laid, start, length)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        """Close the image."""
        os.close(self._descriptor)


class _Asked:
    """A request for an image."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        segments = [one for one in environ["PATH_INFO"].split("/") if one]
        self._name = "/".join(segments[1:])

    def mac(self) -> str | None:
        """The machine that the path names; None when it names none."""
        if not self._name.endswith(_SUFFIX):
            return None
        try:
            return normalize_mac(self._name.removesuffix(_SUFFIX))
        except ValueError:
            return None

    def told(self, mac: str | None, status: int, start: int, length: int) -> Served:
        """The request and its answer."""
        return Served(
            self.environ["REQUEST_METHOD"],
            self.environ.get("REMOTE_ADDR", ""),
            ISO,
            self._name,
            status,
            start,
            length,
            mac,
        )


_NO_MAC: Final = NoImage(400, "the path names no machine", "use /iso/aa-bb-cc-dd-ee-ff.iso")


def _refuse(
    environ: WSGIEnvironment, start_response: StartResponse, refusal: NoImage
) -> Iterable[bytes]:
    body = json.dumps({"error": refusal.error, "hint": refusal.hint}).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(_LINES[refusal.status], headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
