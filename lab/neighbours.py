"""What else stands in a rack: a foreign DHCP server, and an HTTP server that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.linux.run import spawn
from lab.certificates import Authority
from lab.network import FOREIGN_ADDRESS, SERVER_ADDRESS, Rack

MIRROR_ADDRESS = "10.77.0.3"

_NGINX = """
daemon off; master_process off; user root; pid {folder}/mirror.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; {ranges}
  client_body_temp_path {folder}/mirror-body;
  proxy_temp_path {folder}/mirror-proxy; fastcgi_temp_path {folder}/mirror-fastcgi;
  uwsgi_temp_path {folder}/mirror-uwsgi; scgi_temp_path {folder}/mirror-scgi;
  server {{ {listen} root {files}; }}
}}
"""


@contextmanager
def foreign_dhcp(rack: Rack, folder: Path) -> Iterator[None]:
    """A dnsmasq beside the boot server that hands out addresses and knows nothing of booting."""
    with rack.neighbour("dhcp", FOREIGN_ADDRESS) as neighbour:
        argv = [
            "dnsmasq", "--keep-in-foreground", "--port=0", "--interface=eth0", "--bind-interfaces",
            "--dhcp-range=10.77.0.200,10.77.0.220,255.255.255.0,1h", "--dhcp-authoritative",
            f"--dhcp-option=option:router,{SERVER_ADDRESS}", "--log-dhcp", "--log-facility=-",
            f"--dhcp-leasefile={folder}/foreign-dhcp.leases", "--conf-file=/dev/null",
            "--user=root",
        ]  # fmt: skip
        with spawn(neighbour.inside(argv), log=folder / "foreign-dhcp.log"):
            yield


def mirror_url(*, tls: bool = False) -> str:
    """Where the mirror is, without a slash at its end."""
    return f"{'https' if tls else 'http'}://{MIRROR_ADDRESS}"


@contextmanager
def mirror(
    rack: Rack, folder: Path, files: Path, *, ranges: bool = True, tls: Authority | None = None
) -> Iterator[None]:
    """An nginx that serves `files` at `mirror_url`, with or without range requests."""
    configuration = folder / "mirror.conf"
    text = _NGINX.format(
        folder=folder,
        files=files,
        listen=_listen(tls),
        ranges="" if ranges else "max_ranges 0;",
    )
    configuration.write_text(text, encoding="utf-8")
    with rack.neighbour("mirror", MIRROR_ADDRESS) as neighbour:
        argv = ["nginx", "-p", str(folder), "-c", str(configuration)]
        with spawn(neighbour.inside(argv), log=folder / "mirror.log"):
            yield


def _listen(tls: Authority | None) -> str:
    if tls is None:
        return f"listen {MIRROR_ADDRESS}:80;"
    keys = f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};"
    return f"listen {MIRROR_ADDRESS}:443 ssl; {keys}"
