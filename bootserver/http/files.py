"""Files over HTTP/1.1, as a WSGI application: whole or one range, HEAD, ETag, sendfile.

Firmware and BMCs are picky clients: every answer has a Content-Length, nothing is redirected, a
double slash is one slash. Only regular files inside the folder are served, and no listings.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bootserver.http import answering

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TYPES: Final = {
    ".yaml": "application/yaml",
    ".json": "application/json",
    ".cfg": "text/plain",
    ".txt": "text/plain",
    ".efi": "application/efi",
    ".iso": "application/vnd.efi-iso",
}
ISO: Final = "iso"
"""The folder of machines' own installation media (`bootserver.http.isos`)."""
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Served:
    """One answered request for a file. `start` and `length` are what is sent, in bytes."""

    method: str
    address: str
    folder: str
    path: str
    status: int
    start: int
    length: int
    mac: str | None = None
    """The machine that the path names, if it names one."""


Observer = Callable[[Served], None]


class FileServer:
    """Serves the folders in `roots` by their name, the first segment of the URL path."""

    def __init__(self, roots: Mapping[str, Path], observe: Observer) -> None:
        self._roots = {
            name: os.path.realpath(os.fsencode(root)).rstrip(b"/") for name, root in roots.items()
        }
        self._observe = observe

    def serves(self, path: str) -> bool:
        """Whether the URL path is under one of the folders."""
        return path.lstrip("/").partition("/")[0] in self._roots

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            return answering.not_allowed(start_response)
        segments = [one for one in environ["PATH_INFO"].split("/") if one]
        folder, relative = segments[0], segments[1:]
        descriptor = _open(self._roots[folder], relative)
        if descriptor is None:
            self._tell(environ, folder, relative, 404, 0, 0)
            return answering.refuse(start_response, "404 Not Found")
        status = os.fstat(descriptor)
        etag = f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
        if etag in environ.get("HTTP_IF_NONE_MATCH", ""):
            os.close(descriptor)
            start_response("304 Not Modified", [("ETag", etag)])
            return []
        selection = answering.selection(environ, etag, status.st_size)
        line, headers, start, length = answering.head(selection, status.st_size)
        headers += [
            ("Content-Type", _TYPES.get(os.path.splitext(relative[-1])[1], _OCTETS)),
            ("Content-Length", str(length)),
            ("Accept-Ranges", "bytes"),
            ("ETag", etag),
            ("Last-Modified", formatdate(status.st_mtime, usegmt=True)),
        ]
        self._tell(environ, folder, relative, int(line[:3]), start, length)
        start_response(line, headers)
        if method == "HEAD" or length == 0:
            os.close(descriptor)
            return []
        file = os.fdopen(descriptor, "rb", buffering=0)
        file.seek(start)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, _BLOCK_BYTES)
        return wrapped

    def _tell(
        self,
        environ: WSGIEnvironment,
        folder: str,
        relative: list[str],
        status: int,
        start: int,
        length: int,
    ) -> None:
        path = "/".join(relative)
        self._observe(
            Served(
                environ["REQUEST_METHOD"],
                environ.get("REMOTE_ADDR", ""),
                folder,
                path,
                status,
                start,
                length,
            )
        )


_OCTETS: Final = "application/octet-stream"


def _open(root: bytes, relative: list[str]) -> int | None:
    """Descriptor of a regular file below `root`; None for anything else.

    Where the file lies is asked of the kernel after opening it: no link can change in between.
    """
    if not relative or ".." in relative:
        return None
    try:
        # WSGI hands over the path's bytes as Latin-1.
        name = "/".join(relative).encode("latin-1")
        descriptor = os.open(root + b"/" + name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    inside = os.readlink(b"/proc/self/fd/%d" % descriptor).startswith(root + b"/")
    if inside and stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None
