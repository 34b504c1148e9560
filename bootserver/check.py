"""`trident-bootserver check`: is everything there that the declared machines would be given?

Asks the running server as a client: loaders over TFTP (tftpy), all else over HTTP (requests). Looks
only: nothing is recorded, no grant is used up.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TextIO
from urllib.parse import urlsplit

import requests
import tftpy

from agent.api import load
from agent.api.errors import TridentError
from bootserver.boot import decide
from bootserver.boot.artifacts import INITRD, KERNEL, MANIFEST, ROOTFS, file_digests
from bootserver.boot.scripts import GRUB_CONFIG
from bootserver.configuration import Place, resolve
from bootserver.hosts import Host
from bootserver.services import Services
from bootserver.settings import Loader, Settings

_TIMEOUT_S: Final = 10
_BLOCK_BYTES: Final = 1 << 20
_SHIM_LOADS: Final = "x86_64/grubx64.efi"


@dataclass(frozen=True)
class Outcome:
    """One thing that was fetched: what, and why it is not right (None: it is)."""

    what: str
    problem: str | None = None


def run(settings: Settings, output: TextIO) -> int:
    """Check everything and print one line each; 0 when all is there, else 1."""
    logging.getLogger("tftpy").setLevel(logging.CRITICAL)
    services = Services.open(settings)
    try:
        services.hosts.load()
        hosts = services.hosts.all()
        problems = 0
        for outcome in outcomes(settings, hosts):
            problems += outcome.problem is not None
            print(_line(outcome), file=output, flush=True)
        print(_summary(len(hosts), problems), file=output)
        return 1 if problems else 0
    finally:
        services.database.close()


def outcomes(settings: Settings, hosts: list[Host]) -> Iterator[Outcome]:
    """Everything that is fetched, in the order a machine would."""
    healthy = _over_http("the server", f"{settings.base_url}/healthz")
    yield healthy
    if healthy.problem is not None:
        return
    yield from _artifacts(settings, hosts)
    for host in hosts:
        yield from _host(settings, host)


def _line(outcome: Outcome) -> str:
    if outcome.problem is None:
        return f"ok       {outcome.what}"
    return f"MISSING  {outcome.what}: {outcome.problem}"


def _summary(hosts: int, problems: int) -> str:
    verdict = "all is there" if not problems else f"{problems} thing(s) missing or wrong"
    return f"{hosts} declared machine(s): {verdict}"


def _artifacts(settings: Settings, hosts: list[Host]) -> Iterator[Outcome]:
    """The files of the servicing image set: loaders by TFTP, the rest by HTTP, all by digest."""
    try:
        digests = file_digests(settings.artifacts)
    except TridentError as error:
        yield Outcome(MANIFEST, error.message)
        return
    loaders = {decide.BIOS_IPXE, decide.EFI_IPXE}
    if any(host.loader is Loader.SHIM for host in hosts):
        loaders |= {decide.EFI_SHIM, _SHIM_LOADS, KERNEL, INITRD}
        yield _over_tftp(settings, GRUB_CONFIG, None)
    for path in sorted(loaders):
        yield _over_tftp(settings, path, digests.get(path, ""))
    for path in (decide.EFI_IPXE, KERNEL, INITRD, ROOTFS):
        url = f"{settings.base_url}/artifacts/{path}"
        yield _over_http(f"{path} over HTTP", url, digest=digests.get(path, ""))


def _host(settings: Settings, host: Host) -> Iterator[Outcome]:
    base = settings.base_url
    if host.problem is not None:
        yield Outcome(f"{host.mac} Host Configuration", host.problem)
        return
    yield _over_http(f"{host.mac} iPXE script", f"{base}/ipxe/{host.mac}?look")
    if host.loader is Loader.SHIM:
        yield _over_tftp(settings, f"grub/host/{host.mac}.cfg", None)
    config = f"{base}/v1/hosts/{host.mac}/config?look"
    yield _over_http(f"{host.mac} Host Configuration", config, also_fine=(409,))
    if settings.medium is not None:
        url = f"{base}/iso/{host.mac}.iso"
        yield _over_http(f"{host.mac} installation medium", url, ranged=True)
    yield from _image(host, Place.of(settings))


def _image(host: Host, place: Place) -> Iterator[Outcome]:
    if host.configuration is None:
        return
    image = load.load(resolve(host.configuration, place)).image
    if image is not None and urlsplit(image.url).scheme in ("http", "https"):
        yield _over_http(f"{host.mac} image {image.url}", image.url, ranged=True)


def _over_http(
    what: str,
    url: str,
    *,
    digest: str | None = None,
    ranged: bool = False,
    also_fine: tuple[int, ...] = (),
) -> Outcome:
    """Fetch a URL. With `digest`, all of it must have this SHA-384; `ranged` asks for one byte."""
    headers = {"Range": "bytes=0-0"} if ranged else {}
    try:
        with requests.get(
            url, headers=headers, timeout=_TIMEOUT_S, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code in also_fine:
                return Outcome(what)
            if answer.status_code != (206 if ranged else 200):
                return Outcome(what, _why(answer, ranged))
            if digest is None:
                return Outcome(what)
            return _compare(what, _digest(answer.iter_content(_BLOCK_BYTES)), digest)
    except requests.RequestException as error:
        return Outcome(what, f"{url}: {_reason(error)}")


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.ConnectionError):
        return "no connection: is the server running?"
    return str(error)


def _why(answer: requests.Response, ranged: bool) -> str:
    if ranged and answer.status_code == 200:
        return "the server does not answer range requests, which installing needs"
    return f"status {answer.status_code} {answer.reason}"


def _digest(blocks: Iterator[bytes]) -> str:
    found = hashlib.sha384()
    for block in blocks:
        found.update(block)
    return found.hexdigest()


def _over_tftp(settings: Settings, path: str, digest: str | None) -> Outcome:
    what = f"{path} over TFTP"
    sink = io.BytesIO()
    client = tftpy.TftpClient(str(settings.address), settings.tftp.port, {"blksize": 1428})
    fetch: Callable[..., None] = client.download
    try:
        fetch(path, sink, timeout=_TIMEOUT_S)
    except (tftpy.TftpException, OSError) as error:
        return Outcome(what, str(error) or type(error).__name__)
    if digest is None:
        return Outcome(what)
    return _compare(what, hashlib.sha384(sink.getvalue()).hexdigest(), digest)


def _compare(what: str, found: str, expected: str) -> Outcome:
    if not expected:
        return Outcome(what, "the manifest does not name it")
    if found != expected:
        return Outcome(what, f"SHA-384 {found[:16]}..., the manifest says {expected[:16]}...")
    return Outcome(what)
