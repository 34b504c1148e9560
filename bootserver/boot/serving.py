"""Which script a machine gets right now: to be installed, or to boot its own disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bootserver.boot import scripts
from bootserver.boot.artifacts import Artifacts
from bootserver.boot.policy import BootPolicy, subject
from bootserver.boot.scripts import Servicing
from bootserver.hosts import Host, Hosts
from bootserver.reports.state import active_volume
from bootserver.settings import Settings, normalize_mac

_GRUB_HOST: Final = "grub/host/"


@dataclass(frozen=True)
class Script:
    """A rendered script, and whether it starts the servicing image."""

    text: str
    installs: bool


class Scripts:
    """Renders scripts for HTTP and TFTP alike. Reads only."""

    def __init__(
        self,
        settings: Settings,
        policy: BootPolicy,
        hosts: Hosts,
        artifacts: Callable[[], Artifacts],
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._hosts = hosts
        self._artifacts = artifacts

    def ipxe(self, mac: str, *, asked_for_serial: bool = False) -> Script:
        """The iPXE script of a machine. Raises invalid-artifacts, read-input-file."""
        host, record, granted = self._policy.known(mac)
        refusal = subject(host, record, granted).refusal
        if host is None or refusal is not None:
            return Script(scripts.ipxe_local(refusal or ""), installs=False)
        if not asked_for_serial and self._hosts.needs_serial(mac, record):
            return Script(scripts.ipxe_identify(self._settings.base_url, mac), installs=False)
        return Script(scripts.ipxe_install(self._servicing(host)), installs=True)

    def grub_static(self) -> str:
        """The config that the signed GRUB reads first."""
        return scripts.grub_static(str(self._settings.address))

    def grub(self, mac: str) -> str:
        """The GRUB config of a machine. Raises invalid-artifacts, read-input-file."""
        host, record, granted = self._policy.known(mac)
        refusal = subject(host, record, granted).refusal
        if host is None or refusal is not None:
            status = record.host_status if record else None
            return scripts.grub_local(refusal or "", active_volume(status))
        return scripts.grub_install(self._servicing(host), str(self._settings.address))

    def grub_file(self, path: str) -> str | None:
        """The GRUB config that a relative path below the server's root names; None for others."""
        if path == scripts.GRUB_CONFIG:
            return self.grub_static()
        if not (path.startswith(_GRUB_HOST) and path.endswith(".cfg")):
            return None
        try:
            mac = normalize_mac(path.removeprefix(_GRUB_HOST).removesuffix(".cfg"))
        except ValueError:
            return None
        return self.grub(mac)

    def _servicing(self, host: Host) -> Servicing:
        return Servicing(
            host.mac,
            self._settings.base_url,
            self._artifacts().rootfs_sha384,
            host.kernel_arguments,
        )
