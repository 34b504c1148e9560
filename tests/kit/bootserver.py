"""A boot server to test against: a small servicing image set, settings, the program running."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from agent.linux.run import Process, Result, run, spawn
from bootserver.settings import Settings, load
from tests.kit import ports

MAC = "52:54:00:77:00:01"
OTHER_MAC = "52:54:00:77:00:02"
START_LIMIT_S = 30.0

SET_FILES = {
    "vmlinuz": 70_000,
    "initrd.img": 300_000,
    "rootfs.squashfs": 500_000,
    "x86_64/snponly.efi": 40_000,
    "x86_64/ipxe.efi": 41_000,
    "x86_64/shimx64.efi": 42_000,
    "x86_64/grubx64.efi": 43_000,
    "bios/undionly.kpxe": 44_000,
}
"""Names and sizes of the files of the servicing image set."""

HOST_CONFIGURATION = """\
image:
  url: http://NETLAUNCH_HOST_ADDRESS/files/os.cosi
  sha384: ignored
storage:
  disks:
  - id: os
    device: /dev/sda
    partitionTableType: gpt
    partitions:
    - id: esp
      type: esp
      size: 64M
    - id: root
      type: root
      size: 1G
  filesystems:
  - deviceId: esp
    mountPoint:
      path: /boot/efi
      options: umask=0077
  - deviceId: root
    mountPoint: /
"""


def random_bytes(seed: str, size: int) -> bytes:
    """Reproducible bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def make_artifacts(folder: Path) -> Path:
    """A servicing image set with a right manifest; the files' content is random."""
    files: dict[str, dict[str, Any]] = {}
    for name, size in SET_FILES.items():
        data = random_bytes(name, size)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        files[name] = {"size": size, "sha384": hashlib.sha384(data).hexdigest()}
    manifest = {
        "version": 1,
        "architecture": "x86_64",
        "kernel": {"release": "6.1.0", "package": "linux-image-amd64"},
        "files": files,
        "packages": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_settings(folder: Path, **more: Any) -> Path:
    """A settings file for the loopback address, without DHCP; `more` replaces whole keys."""
    make_artifacts(folder / "artifacts")
    (folder / "files").mkdir(exist_ok=True)
    values = {
        "address": "127.0.0.1",
        "artifacts": "artifacts",
        "files": "files",
        "state": "state",
        "http": {"port": ports.claimed()},
        "tftp": {"port": ports.claimed()},
        "dhcp": {"mode": "off"},
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(values | more))
    return path


@dataclass
class BootServer:
    """`trident-bootserver` with one settings file."""

    settings_path: Path
    program: tuple[str, ...] = (sys.executable,)
    """The interpreter and what comes before it."""

    @property
    def settings(self) -> Settings:
        return load(self.settings_path)

    @property
    def url(self) -> str:
        return self.settings.base_url

    @property
    def log(self) -> Path:
        return self.settings_path.with_name("server.log")

    def command(self, *words: str) -> Result:
        """Run a command of the program to its end; any exit status."""
        argv = [*self.program, *_MODULE, *words, "--config", str(self.settings_path)]
        return run(argv, ok=range(256), timeout_s=60)

    def declare(self, mac: str = MAC, text: str = HOST_CONFIGURATION) -> None:
        """Declare a machine by command."""
        path = self.settings_path.with_name("host-configuration.yaml")
        path.write_text(text)
        done = self.command("hosts", "add", mac, "--name", "node1", "--host-config", str(path))
        assert done.returncode == 0, done.stderr

    @contextmanager
    def serving(self) -> Iterator[Process]:
        """The server, running and answering."""
        argv = [*self.program, *_MODULE, "serve", "--config", str(self.settings_path)]
        with spawn(argv, log=self.log) as process:
            self._await_health(process)
            yield process

    def machine(self, mac: str = MAC) -> dict[str, Any]:
        """What the API says of a machine."""
        answer = requests.get(f"{self.url}/v1/hosts/{mac}", timeout=10)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _await_health(self, process: Process) -> None:
        end = time.monotonic() + START_LIMIT_S
        while True:
            said = self.log.read_text() if self.log.exists() else ""
            assert process.poll() is None, said
            try:
                if requests.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return
            except requests.ConnectionError:
                assert time.monotonic() < end, said
            process.wait(0.05)


_MODULE = ("-m", "bootserver.cli")
