"""One GET of one range: connection, proxy, TLS, redirects. No retries, no judgement.

Proxies come from the environment (http_proxy, https_proxy, no_proxy). TLS certificates are always
verified. Credentials in a URL go to that URL's own server only.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import time
import urllib.request
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from agent.cosi.http_policy import (
    MAX_REDIRECTS,
    clock_looks_wrong,
    is_redirect,
    redirected,
    unusable,
)


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, and without a single byte afterwards."""

    connect_s: float
    read_s: float


class Exchange:
    """A response whose body is being read, and the socket below it."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        sock: socket.socket,
        response: http.client.HTTPResponse,
    ) -> None:
        self._connection = connection
        self._socket = sock
        self.response = response

    def readinto(self, view: memoryview) -> int:
        """What one receive call delivers: at most len(view) bytes, 0 at the end of the body."""
        if self.response.chunked:
            data = self.response.read1(len(view))
            view[: len(data)] = data
            return len(data)
        # HTTPResponse.readinto would wait for a full buffer: a server that trickles bytes could
        # hold it for days. The caller knows from Content-Range where the body ends.
        return self.response.fp.readinto1(view)

    def interrupt(self) -> None:
        """Wake a thread that waits in `readinto`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        self.response.close()
        self._connection.close()


def get_range(url: str, first: int, last: int, timeouts: Timeouts) -> Exchange:
    """GET bytes `first..last`, following at most 8 redirects; any status may come back.

    Raises load-cosi, OSError, http.client.HTTPException.
    """
    headers = {
        "Range": f"bytes={first}-{last}",
        "Accept-Encoding": "identity",
        "User-Agent": "trident",
        "Connection": "close",
    }
    first_parts = urlsplit(url)
    origin, credentials = _origin(first_parts), _credentials(first_parts)
    current = url
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(current)
        own = credentials if _origin(parts) == origin else {}
        found = _send(parts, headers | own, timeouts)
        if not is_redirect(found.response.status):
            return found
        location = found.response.headers.get("Location")
        found.close()
        current = redirected(current, location)
    raise unusable(url, f"more than {MAX_REDIRECTS} redirects")


def _send(parts: SplitResult, headers: dict[str, str], timeouts: Timeouts) -> Exchange:
    connection, target, proxy_headers = _connection(parts, timeouts)
    try:
        connection.connect()
        sock: socket.socket = connection.sock
        sock.settimeout(timeouts.read_s)
        connection.request("GET", target, headers=headers | proxy_headers)
        return Exchange(connection, sock, connection.getresponse())
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise _untrusted(parts, error) from error
    except (ValueError, http.client.InvalidURL) as error:
        connection.close()
        raise unusable(urlunsplit(parts), f"it is no valid URL: {error}") from error
    except (OSError, http.client.HTTPException):
        connection.close()
        raise


def _connection(
    parts: SplitResult, timeouts: Timeouts
) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """The connection to make, the request target and the headers meant for a proxy."""
    host, port = _address(parts)
    path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    proxy = _proxy(parts, host)
    if proxy is None:
        return _plain_or_tls(parts.scheme, host, port, timeouts), path, {}
    proxy_host, proxy_port = _address(proxy)
    proxy_headers = _credentials(proxy, "Proxy-Authorization")
    if parts.scheme == "https":
        tls = _plain_or_tls("https", proxy_host, proxy_port, timeouts)
        tls.set_tunnel(host, port, proxy_headers)
        return tls, path, {}
    plain = _plain_or_tls("http", proxy_host, proxy_port, timeouts)
    netloc = parts.netloc.rpartition("@")[2]
    return plain, urlunsplit(("http", netloc, parts.path or "/", parts.query, "")), proxy_headers


def _plain_or_tls(
    scheme: str, host: str, port: int, timeouts: Timeouts
) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeouts.connect_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeouts.connect_s)


def _proxy(parts: SplitResult, host: str) -> SplitResult | None:
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2] or host):
        return None
    setting = urllib.request.getproxies().get(parts.scheme)
    if not setting:
        return None
    return urlsplit(setting if "://" in setting else f"http://{setting}")


def _address(parts: SplitResult) -> tuple[str, int]:
    try:
        port = parts.port
    except ValueError as error:
        raise unusable(urlunsplit(parts), str(error)) from error
    if not parts.hostname:
        raise unusable(urlunsplit(parts), "the URL names no host")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return (parts.scheme, *_address(parts))


def _credentials(parts: SplitResult, header: str = "Authorization") -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {header: f"Basic {base64.b64encode(pair).decode()}"}


def _untrusted(parts: SplitResult, error: ssl.SSLCertVerificationError) -> Exception:
    hint = (
        "the clock of this machine looks wrong: set it, then start again"
        if clock_looks_wrong(time.time())
        else "install the certificate authority of this server in the system's trust store"
    )
    return unusable(
        urlunsplit(parts), f"its TLS certificate is not trusted: {error.verify_message}", hint
    )
