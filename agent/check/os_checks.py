"""Rules about everything but storage: os, managementOs, scripts, trident, and where files land."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from agent.api import extensions
from agent.api.extensions import ExtensionKind
from agent.api.hostconfig import HostConfiguration, Script, Scripts, Trident
from agent.api.osconfig import (
    AdditionalFile,
    Extension,
    ManagementOs,
    Netplan,
    NetplanRenderer,
    Os,
    SelinuxMode,
    User,
)
from agent.api.storage import ROOT, Storage
from agent.api.yamltext import Path
from agent.check.findings import Finding, Severity
from agent.check.graph import StorageGraph

NETPLAN_VERSION: Final = 2
DATASTORE_SUFFIX: Final = ".sqlite"
SYSEXT_FOLDERS: Final = ("/etc/extensions", "/var/lib/extensions", "/.extra/sysext")
CONFEXT_FOLDERS: Final = ("/var/lib/confexts", "/usr/lib/confexts", "/usr/local/lib/confexts")
_NETPLAN_ID: Final = re.compile(r"[!-~]+")
_GLOB: Final = re.compile(r"[*?\[\]]")
_MODE: Final = re.compile(r"0+[0-7]{0,3}")


def check_os(os: Os) -> Iterator[Finding]:
    yield from _users(os.users, ("os", "users"))
    for index, file in enumerate(os.additional_files):
        yield from _additional_file(file, ("os", "additionalFiles", index))
    yield from _netplan(os.netplan, ("os", "netplan"))
    if (os.sysexts or os.confexts) and os.selinux.mode not in (None, SelinuxMode.DISABLED):
        yield Finding(
            "selinux-with-extension-images",
            "SELinux does not work with sysexts and confexts",
            ("os", "selinux", "mode"),
            "set the mode to 'disabled'",
            Severity.WARNING,
        )
    yield from _extensions(os.sysexts, "sysexts", SYSEXT_FOLDERS)
    yield from _extensions(os.confexts, "confexts", CONFEXT_FOLDERS)


def check_management_os(management_os: ManagementOs) -> Iterator[Finding]:
    yield from _users(management_os.users, ("managementOs", "users"))
    yield from _netplan(management_os.netplan, ("managementOs", "netplan"))


def _users(users: tuple[User, ...], path: Path) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, user in enumerate(users):
        if user.name in seen:
            yield Finding(
                "duplicate-usernames",
                f"user '{user.name}' is defined twice",
                (*path, index, "name"),
            )
        seen.add(user.name)


def _additional_file(file: AdditionalFile, path: Path) -> Iterator[Finding]:
    if file.permissions is not None and not _MODE.fullmatch(file.permissions):
        yield Finding(
            "additional-file-invalid-permissions",
            f"'{file.permissions}' is not an octal mode from 0000 to 0777",
            (*path, "permissions"),
            "write the mode as text that starts with 0, such as '0644'",
        )
    if file.content is not None and file.source is not None:
        yield Finding(
            "additional-file-both-content-and-source",
            f"'{file.destination}' has both content and source",
            path,
        )
    if file.content is None and file.source is None:
        yield Finding(
            "additional-file-no-content-or-source",
            f"'{file.destination}' has neither content nor source",
            path,
        )


def _netplan(netplan: Netplan | None, path: Path) -> Iterator[Finding]:
    if netplan is None:
        return
    if netplan.version != NETPLAN_VERSION:
        yield Finding(
            "invalid-netplan-version",
            f"netplan version {netplan.version} is not supported, only {NETPLAN_VERSION} is",
            (*path, "version"),
        )
    if netplan.renderer is NetplanRenderer.NETWORK_MANAGER:
        yield Finding(
            "unsupported-netplan-renderer",
            "the renderer NetworkManager is not supported",
            (*path, "renderer"),
            "use networkd",
        )
    for section, name in netplan.device_ids:
        if not _NETPLAN_ID.fullmatch(name) or _GLOB.search(name):
            yield Finding(
                "invalid-interface-name",
                f"'{name}' is not a name for a network interface",
                (*path, section, name),
                "use 'match' for patterns",
                on_key=True,
            )


def _extensions(
    listed: tuple[Extension, ...], section: str, folders: tuple[str, ...]
) -> Iterator[Finding]:
    hashes: set[str] = set()
    paths: set[PurePosixPath] = set()
    for index, extension in enumerate(listed):
        here: Path = ("os", section, index)
        if extension.sha384 in hashes:
            yield Finding(
                "duplicate-extension-image",
                "this extension image is already listed (same sha384)",
                (*here, "sha384"),
            )
        hashes.add(extension.sha384)
        if extension.path is None:
            continue
        if extension.path in paths:
            yield Finding(
                "duplicate-extension-image-path",
                f"two extension images would be placed at '{extension.path}'",
                (*here, "path"),
            )
        paths.add(extension.path)
        yield from _extension_path(extension.path, (*here, "path"), folders)


def _extension_path(path: PurePosixPath, here: Path, folders: tuple[str, ...]) -> Iterator[Finding]:
    if path.suffix != extensions.SUFFIX:
        yield Finding(
            "extension-image-invalid-file-extension",
            f"'{path}' does not end in {extensions.SUFFIX}",
            here,
        )
    elif str(path.parent) not in folders:
        yield Finding(
            "extension-image-invalid-directory",
            f"'{path}' is in none of the folders {', '.join(folders)}",
            here,
        )


def check_scripts(hc: HostConfiguration) -> Iterator[Finding]:
    """Paths of scripts. Those that upstream does not check only get a warning."""
    for name, scripts in _sections(hc.scripts):
        severity = Severity.WARNING if name == "preServicing" else Severity.ERROR
        for index, script in enumerate(scripts):
            yield from _script(script, ("scripts", name, index), severity)
    for index, check in enumerate(hc.health.checks):
        if isinstance(check, Script):
            yield from _script(check, ("health", "checks", index), Severity.WARNING)


def _sections(scripts: Scripts) -> tuple[tuple[str, tuple[Script, ...]], ...]:
    return (
        ("postProvision", scripts.post_provision),
        ("postConfigure", scripts.post_configure),
        ("preReboot", scripts.pre_reboot),
        ("preServicing", scripts.pre_servicing),
    )


def _script(script: Script, path: Path, severity: Severity) -> Iterator[Finding]:
    if script.path is not None and not script.path.is_absolute():
        yield Finding(
            "path-not-absolute",
            f"the script path '{script.path}' is not absolute",
            (*path, "path"),
            severity=severity,
        )


def check_trident(trident: Trident) -> Iterator[Finding]:
    if not trident.disable and trident.datastore_path.suffix != DATASTORE_SUFFIX:
        yield Finding(
            "datastore-path-invalid-extension",
            f"the datastore '{trident.datastore_path}' does not end in {DATASTORE_SUFFIX}",
            ("trident", "datastorePath"),
        )


def check_root_verity(hc: HostConfiguration, graph: StorageGraph) -> Iterator[Finding]:
    """What a read-only, verity-protected root rules out."""
    root = graph.filesystem_at(ROOT)
    if root is None or graph.verity_beneath(root[0]) is None:
        return
    if hc.internal_params.self_upgrade_trident:
        yield Finding(
            "self-upgrade-on-read-only-root-verity-fs",
            "the agent cannot copy itself into a root filesystem that verity protects",
            ("internalParams", "selfUpgradeTrident"),
        )
    if hc.os.selinux.mode not in (None, SelinuxMode.DISABLED):
        yield Finding(
            "selinux-with-root-verity",
            "SELinux with a verity root works only with unified kernel images",
            ("os", "selinux", "mode"),
            severity=Severity.WARNING,
        )


def check_datastore(trident: Trident, storage: Storage, graph: StorageGraph) -> Iterator[Finding]:
    """The datastore must outlive updates: on a known volume that is not an A/B pair."""
    if trident.disable:
        return
    holder = graph.filesystem_for(trident.datastore_path)
    device = holder[1].device_id if holder else None
    if device is None:
        yield Finding(
            "datastore-path-not-in-known-volume",
            f"no volume of the configuration holds the datastore '{trident.datastore_path}'",
            ("trident", "datastorePath"),
            "add a filesystem that holds it",
        )
    elif any(pair.id == device for pair in storage.volume_pairs):
        yield Finding(
            "datastore-path-in-ab-update-volume",
            f"the datastore '{trident.datastore_path}' would be on the A/B volume pair"
            f" '{device}' and get lost with an update",
            ("trident", "datastorePath"),
            "put it on a volume of its own, mounted at /var/lib/trident for example",
        )


def check_extension_locations(hc: HostConfiguration, graph: StorageGraph) -> Iterator[Finding]:
    """With A/B updates, extension images must change with the OS they belong to."""
    if hc.storage.ab_update is None:
        return
    for kind in ExtensionKind:
        for index, extension in enumerate(extensions.of_kind(hc.os, kind)):
            place = extension.path or kind.folder
            holder = graph.filesystem_for(place)
            if holder is None or not graph.stands_on_ab(holder[0]):
                yield Finding(
                    "extension-image-not-on-ab-volume",
                    f"extension images at '{place}' must be on an A/B volume",
                    ("os", kind.section, index),
                )
