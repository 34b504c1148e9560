"""nginx on loopback, serving one folder: the server that ours are compared with."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.linux.run import spawn
from tests.kit import ports

_CONFIG = """\
daemon off; master_process on; worker_processes {workers}; pid {folder}/pid;
error_log {folder}/error.log;
user {user};
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextmanager
def serving(root: Path, *, workers: int = 1) -> Iterator[str]:
    """The URL of `root` while nginx serves it."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        folder = Path(name)
        port = ports.claimed()
        config = folder / "nginx.conf"
        user = "root" if os.geteuid() == 0 else "nobody"
        config.write_text(
            _CONFIG.format(workers=workers, folder=folder, user=user, port=port, root=root)
        )
        argv = ["nginx", "-p", name, "-c", str(config), "-e", f"{name}/error.log"]
        with spawn(argv, log=folder / "log") as process:
            _wait_for(port, process.poll)
            yield f"http://127.0.0.1:{port}"


def _wait_for(port: int, ended: Callable[[], int | None]) -> None:
    pause = threading.Event()
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if ended() is not None:
                raise RuntimeError("nginx ended at once") from None
            pause.wait(0.02)
        else:
            return
    raise RuntimeError("nginx did not open its port")
