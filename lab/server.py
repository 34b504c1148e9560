"""The boot server of a rack: started, killed and asked from outside, as an operator would.

It runs inside the rack's network namespace; HTTP goes through curl in that namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import yaml

from agent.linux.run import Process, Result, run, spawn
from lab import disks, paths, waiting
from lab.errors import LabError, ScenarioFailed
from lab.network import BRIDGE, SERVER_ADDRESS, SUBNET, Rack
from lab.record import HostRecord

PORT = 8080
BASE_URL = f"http://{SERVER_ADDRESS}:{PORT}"
_START_LIMIT_S = 30.0
_REQUEST_LIMIT_S = 20.0
_DOWNLOAD_LIMIT_S = 600.0


def settings(
    artifacts: Path, files: Path, state: Path, *, dhcp: str, loader: str, more: dict[str, Any]
) -> dict[str, Any]:
    """The settings file of `trident-bootserver serve` for a rack; `more` is merged over it."""
    service: dict[str, Any] = {"mode": dhcp}
    if dhcp == "server":
        pool = {"network": SUBNET, "range": ["10.77.0.100", "10.77.0.150"]}
        service["subnets"] = [pool | {"router": SERVER_ADDRESS, "dns": [SERVER_ADDRESS]}]
    base: dict[str, Any] = {
        "interface": BRIDGE,
        "address": SERVER_ADDRESS,
        "artifacts": str(artifacts),
        "files": str(files),
        "state": str(state),
        "hosts": ["hosts.d"],
        "http": {"port": PORT},
        "dhcp": service,
        "defaults": {"loader": loader},
    }
    return merged(base, more)


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`base` with `more` laid over it, mappings merged key by key."""
    result = dict(base)
    for key, value in more.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = merged(under, value) if both and isinstance(under, dict) else value
    return result


class BootServer:
    """`trident-bootserver serve` in a rack. Made by `installed`."""

    def __init__(self, rack: Rack, folder: Path, configuration: dict[str, Any]) -> None:
        self.log = folder / "bootserver.log"
        self._rack = rack
        self._folder = folder
        self._settings = folder / "bootserver.yaml"
        self._settings.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self._hosts = folder / "hosts.d" / "hosts.yaml"
        self._hosts.parent.mkdir(exist_ok=True)
        self._program = str(paths.program("trident-bootserver"))
        self._running: ExitStack | None = None
        self._process: Process | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start serving and wait for /healthz. Raises LabError with the end of its log."""
        self.stop()
        argv = [self._program, "serve", "--config", str(self._settings)]
        with ExitStack() as stack:
            process = stack.enter_context(spawn(self._rack.inside(argv), log=self.log))
            waiting.until(
                lambda: self._healthy(process), limit_s=_START_LIMIT_S, what="the boot server"
            )
            self._process = process
            self._running = stack.pop_all()

    def stop(self, *, kill: bool = False) -> None:
        """SIGTERM, or SIGKILL to all of its processes at once."""
        if kill and self._process is not None:
            self._process.signal(SIGKILL)
        if self._running is not None:
            self._running.close()
        self._running = self._process = None

    def record(self, mac: str) -> HostRecord | None:
        """What the server says of a machine; None when it knows none or does not answer."""
        answer = self._get(f"/v1/hosts/{mac}")
        return None if answer is None else HostRecord.model_validate(answer)

    def declare_in_file(self, mac: str, name: str, host_configuration: dict[str, Any]) -> None:
        """Declare a machine in the YAML file of hosts that the server reads."""
        document: dict[str, Any] = {"hosts": []}
        if self._hosts.exists():
            document = yaml.safe_load(self._hosts.read_text(encoding="utf-8"))
        document["hosts"].append(
            {"mac": mac, "name": name, "hostConfiguration": host_configuration}
        )
        self._hosts.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def declare(self, mac: str, name: str, host_configuration: dict[str, Any]) -> Result:
        """Declare a machine or give it another Host Configuration; the command's own result."""
        path = self._folder / f"host-configuration-{name}.yaml"
        path.write_text(yaml.safe_dump(host_configuration, sort_keys=False), encoding="utf-8")
        return self.command("hosts", "add", mac, "--name", name, "--host-config", str(path))

    def command(self, *words: str) -> Result:
        """Run `trident-bootserver WORDS --config SETTINGS` in the rack; any exit status."""
        argv = [self._program, *words, "--config", str(self._settings)]
        return run(self._rack.inside(argv), ok=range(256))

    def sha384(self, url: str) -> str:
        """Of what is behind a URL of this server. Raises LabError."""
        target = self._folder / "downloaded"
        argv = ["curl", "-sSf", "-o", str(target), url]
        try:
            run(self._rack.inside(argv), timeout_s=_DOWNLOAD_LIMIT_S)
            return disks.sha384(target)
        finally:
            target.unlink(missing_ok=True)

    def _healthy(self, process: Process) -> bool:
        if process.poll() is not None:
            said = self.log.read_text(encoding="utf-8", errors="replace")[-2048:]
            raise LabError(f"the boot server ended at once:\n{said}", hint=f"log: {self.log}")
        return self._curl("/healthz") is not None

    def _get(self, path: str) -> Any:
        body = self._curl(path)
        if body is None:
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise ScenarioFailed(f"{BASE_URL}{path} answered no JSON: {error}") from error

    def _curl(self, path: str) -> bytes | None:
        argv = ["curl", "-sSf", "--max-time", "10", f"{BASE_URL}{path}"]
        result = run(self._rack.inside(argv), ok=range(256), timeout_s=_REQUEST_LIMIT_S)
        return result.stdout_bytes if result.returncode == 0 else None


@contextmanager
def installed(rack: Rack, folder: Path, configuration: dict[str, Any]) -> Iterator[BootServer]:
    """A boot server that may be started and stopped in the block and is stopped after it."""
    server = BootServer(rack, folder, configuration)
    try:
        yield server
    finally:
        server.stop()
