"""The two kinds of extension images, and how systemd knows them (systemd-sysext(8), os-release(5)).

Pure: names, folders, and whether an image says that it fits an operating system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from agent.api.osconfig import Extension, Os
from agent.api.parttypes import Architecture

SUFFIX: Final = ".raw"
_ANY: Final = "_any"
_SYSTEM: Final = "system"
_ARCHITECTURES: Final = {Architecture.X86_64: "x86-64", Architecture.AARCH64: "arm64"}


class ExtensionKind(StrEnum):
    """A sysext adds to /usr and /opt, a confext to /etc. The value is systemd's word."""

    SYSEXT = "sysext"
    CONFEXT = "confext"

    @property
    def section(self) -> str:
        """The key under `os`: `sysexts`."""
        return f"{self}s"

    @property
    def program(self) -> str:
        """`systemd-sysext`; also the name of the service that merges at boot."""
        return f"systemd-{self}"

    @property
    def service(self) -> str:
        return f"{self.program}.service"

    @property
    def systemd_version(self) -> int:
        """The first systemd that has it."""
        return 248 if self is ExtensionKind.SYSEXT else 254

    @property
    def folder(self) -> PurePosixPath:
        """Where an image without `path` goes."""
        name = "extensions" if self is ExtensionKind.SYSEXT else "confexts"
        return PurePosixPath("/var/lib") / name

    @property
    def release_folder(self) -> PurePosixPath:
        """Where an image of this kind says what it is, relative to its root."""
        top = "usr/lib" if self is ExtensionKind.SYSEXT else "etc"
        return PurePosixPath(top) / "extension-release.d"

    @property
    def hierarchy(self) -> str:
        """A folder of the host that every merged image of this kind adds to."""
        return "/usr" if self is ExtensionKind.SYSEXT else "/etc"

    def key(self, name: str) -> str:
        """A field of the extension-release file: `SYSEXT_ID`."""
        return f"{self.upper()}_{name}"


@dataclass(frozen=True)
class Wanted:
    """One extension image of a configuration."""

    kind: ExtensionKind
    extension: Extension

    @property
    def sha384(self) -> str:
        return self.extension.sha384

    @property
    def file_name(self) -> str:
        """The last part of the URL: what people call it before its own name is known."""
        return self.extension.url.partition("?")[0].rstrip("/").rpartition("/")[2]


def of_kind(os: Os, kind: ExtensionKind) -> tuple[Extension, ...]:
    """The section of one kind."""
    return os.sysexts if kind is ExtensionKind.SYSEXT else os.confexts


def wanted(os: Os) -> Iterator[Wanted]:
    """All extension images, sysexts first."""
    for kind in ExtensionKind:
        for extension in of_kind(os, kind):
            yield Wanted(kind, extension)


def default_path(kind: ExtensionKind, name: str) -> PurePosixPath:
    """Where the image called `name` goes unless its configuration says otherwise."""
    return kind.folder / f"{name}{SUFFIX}"


def misfit(
    kind: ExtensionKind,
    extension: Mapping[str, str],
    host: Mapping[str, str],
    architecture: Architecture,
) -> str | None:
    """Why systemd would ignore an image of these release fields on a host of those; None if not.

    `extension` is the extension-release file, `host` the host's os-release.
    """
    scope = extension.get(kind.key("SCOPE"), _SYSTEM)
    if _SYSTEM not in scope.split():
        return f"its {kind.key('SCOPE')} is '{scope}'"
    built_for = extension.get("ARCHITECTURE", _ANY)
    if built_for not in (_ANY, _ARCHITECTURES[architecture]):
        return f"it is for {built_for}, not for {_ARCHITECTURES[architecture]}"
    id_ = extension.get("ID")
    if id_ is None:
        return "its extension-release file has no ID"
    if id_ == _ANY:
        return None
    likes = (host.get("ID", "linux"), *host.get("ID_LIKE", "").split())
    if id_ not in likes:
        return f"it is for '{id_}', the operating system is '{likes[0]}'"
    return _version_misfit(kind, extension, host)


def _version_misfit(
    kind: ExtensionKind, extension: Mapping[str, str], host: Mapping[str, str]
) -> str | None:
    """Levels are compared when both have one, versions otherwise; rolling hosts have neither."""
    key = kind.key("LEVEL")
    if not (host.get(key) and extension.get(key)):
        key = "VERSION_ID"
    if not host.get(key):
        return None
    if extension.get(key) == host.get(key):
        return None
    return f"it is for {key} '{extension.get(key, '')}', the operating system has '{host.get(key)}'"
