"""Rules about the storage section as a whole: the ESP, root, /var/tmp, verity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from agent.api.hostconfig import HostConfiguration
from agent.api.storage import (
    ROOT,
    Encryption,
    FileSystem,
    FileSystemSource,
    Storage,
    VerityDevice,
)
from agent.api.yamltext import Path
from agent.check.findings import Finding
from agent.check.graph import Node, StorageGraph

BOOT: Final = PurePosixPath("/boot")
USR: Final = PurePosixPath("/usr")
VAR_TMP: Final = PurePosixPath("/var/tmp")
OVERLAY: Final = PurePosixPath("/var/lib/trident-overlay")
SUPPORTED_PCRS: Final = frozenset((4, 7, 11))
_DEFAULT: Final = HostConfiguration.model_construct()
_FILESYSTEMS: Final[Path] = ("storage", "filesystems")


def check_encryption(encryption: Encryption | None) -> Iterator[Finding]:
    """What can be said about encryption without looking at devices."""
    if encryption is None:
        return
    path: Path = ("storage", "encryption")
    url = encryption.recovery_key_url
    if url is not None and not url.lower().startswith("file:"):
        yield Finding(
            "invalid-encryption-recovery-key-url-scheme",
            f"the recovery key URL '{url}' is not a file:// URL",
            (*path, "recoveryKeyUrl"),
        )
    wrong = [str(int(pcr)) for pcr in encryption.pcrs if pcr not in SUPPORTED_PCRS]
    if wrong:
        yield Finding(
            "unsupported-encryption-pcrs",
            f"volumes cannot be sealed to PCR {', '.join(wrong)}, only to 4, 7 and 11",
            (*path, "pcrs"),
        )


def check_volumes(hc: HostConfiguration, graph: StorageGraph) -> Iterator[Finding]:
    """Volumes that must be there: the ESP, root, a writable /var/tmp."""
    storage = hc.storage
    has_storage = storage != _DEFAULT.storage
    if has_storage:
        yield from _esp(graph)
        yield from _writable_var_tmp(graph)
    if has_storage or _needs_root(hc):
        yield from _present(graph, ROOT)


def _needs_root(hc: HostConfiguration) -> bool:
    """Whether sections other than storage have something to write into the target."""
    default = (_DEFAULT.trident, _DEFAULT.scripts, _DEFAULT.os)
    return (hc.trident, hc.scripts, hc.os) != default


def _esp(graph: StorageGraph) -> Iterator[Finding]:
    esp = next((fs for _, fs in graph.filesystems() if fs.is_esp and fs.mount_path), None)
    if esp is None or esp.mount_path is None:
        yield Finding(
            "esp-mount-point-not-found",
            "no filesystem is the EFI system partition's",
            _FILESYSTEMS,
            "mount one at /boot/efi, or mark one with 'overrideEspMount: override'",
        )
    else:
        yield from _present(graph, esp.mount_path)


def _present(graph: StorageGraph, mount_path: PurePosixPath) -> Iterator[Finding]:
    """A filesystem is mounted there and its content comes from an image or from before."""
    found = graph.filesystem_at(mount_path)
    if found is None:
        yield Finding(
            "expected-mount-point-not-found",
            f"no filesystem is mounted at '{mount_path}'",
            _FILESYSTEMS,
            f"add a filesystem with 'mountPoint: {mount_path}'",
        )
    elif found[1].source is FileSystemSource.NEW:
        yield Finding(
            "mount-point-not-backed-by-image",
            f"the filesystem at '{mount_path}' must come from the image",
            (*found[0].path, "source"),
            "remove its 'source' and 'type'",
        )


def _writable_var_tmp(graph: StorageGraph) -> Iterator[Finding]:
    found = graph.filesystem_for(VAR_TMP)
    if found is None:
        yield Finding(
            "expected-mount-point-not-found",
            f"no filesystem holds '{VAR_TMP}'",
            _FILESYSTEMS,
            "add a filesystem mounted at '/'",
        )
    elif found[1].read_only:
        yield Finding(
            "var-tmp-on-read-only-volume",
            f"'{VAR_TMP}' must be writable, but '{found[1].mount_path}' is mounted read-only",
            (*found[0].path, "mountPoint"),
            "add a writable filesystem at /var or /var/tmp",
        )


def check_verity(storage: Storage, graph: StorageGraph) -> Iterator[Finding]:
    """One verity device at most, for / or /usr, mounted read-only."""
    if not storage.verity:
        return
    if len(storage.verity) > 1:
        yield Finding(
            "unsupported-verity-devices",
            "only one verity device is supported, for / or for /usr",
            ("storage", "verity", 1),
        )
        return
    device = storage.verity[0]
    mounted = [pair for pair in graph.filesystems() if graph.verity_beneath(pair[0]) == device]
    if len(mounted) != 1:
        yield Finding(
            "unsupported-verity-devices",
            f"verity device '{device.id}' needs exactly one filesystem",
            ("storage", "verity", 0),
        )
        return
    yield from _verity_filesystem(storage, graph, device, *mounted[0])


def _verity_filesystem(
    storage: Storage, graph: StorageGraph, device: VerityDevice, node: Node, fs: FileSystem
) -> Iterator[Finding]:
    path = node.path
    if fs.mount_point is None:
        yield Finding(
            "verity-filesystem-without-mount-point",
            f"the filesystem on verity device '{device.id}' needs a mountPoint",
            path,
        )
        return
    if not fs.read_only:
        yield Finding(
            "verity-device-mounted-read-write",
            f"the filesystem on verity device '{device.name}' must be mounted read-only",
            (*path, "mountPoint"),
            "add 'ro' to its mount options",
        )
    if fs.mount_path == ROOT:
        yield from _present(graph, BOOT)
        yield from _overlay(storage, graph)
        yield from _verity_name(device, "root")
    elif fs.mount_path == USR:
        yield from _verity_name(device, "usr")
    else:
        yield Finding(
            "unsupported-verity-devices",
            f"verity is supported for / and /usr, not for '{fs.mount_path}'",
            (*path, "mountPoint"),
        )


def _overlay(storage: Storage, graph: StorageGraph) -> Iterator[Finding]:
    """With a verity root, /etc is an overlay whose upper side needs a writable volume."""
    found = graph.filesystem_for(OVERLAY)
    if found is None:
        yield Finding(
            "expected-mount-point-not-found", f"no filesystem holds '{OVERLAY}'", _FILESYSTEMS
        )
        return
    path, holder = found[0].path, found[1]
    if holder.device_id is None:
        yield Finding(
            "mount-point-not-backed-by-block-device",
            f"'{OVERLAY}' must be on a block device",
            path,
        )
        return
    pairs = {pair.id for pair in storage.volume_pairs}
    if storage.ab_update is not None and holder.device_id not in pairs:
        yield Finding(
            "mount-point-not-backed-by-ab-update-volume-pair",
            f"'{OVERLAY}' must be on an A/B volume pair",
            (*path, "deviceId"),
        )
    if holder.read_only:
        yield Finding(
            "overlay-on-read-only-volume",
            f"'{OVERLAY}' must be writable, but '{holder.mount_path}' is mounted read-only",
            (*path, "mountPoint"),
        )
    if any(holder.device_id == verity.data_device_id for verity in storage.verity):
        yield Finding(
            "overlay-on-verity-protected-volume",
            f"'{OVERLAY}' cannot be on the verity-protected volume at '{holder.mount_path}'",
            (*path, "deviceId"),
        )


def _verity_name(device: VerityDevice, expected: str) -> Iterator[Finding]:
    if device.name != expected:
        yield Finding(
            "verity-device-name-invalid",
            f"this verity device must have the name '{expected}', not '{device.name}'",
            ("storage", "verity", 0, "name"),
        )
