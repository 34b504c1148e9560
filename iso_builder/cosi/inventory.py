"""What an OS tells of itself in its own files: packages, fstab, boot loader entries. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_DPKG_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "all": "noarch"}


@dataclass(frozen=True)
class Package:
    """An installed package; `arch` as RPM names it (x86_64, aarch64, noarch)."""

    name: str
    version: str
    release: str
    arch: str


@dataclass(frozen=True)
class Mount:
    """A line of fstab: what is mounted, and where."""

    device: str
    mount_point: PurePosixPath


@dataclass(frozen=True)
class LoaderEntry:
    """A boot loader entry file (UAPI.1), reduced to what COSI tells of it."""

    is_uki: bool
    cmdline: str
    kernel: str
    image: str
    """Path of the kernel or the UKI within the partition of the entry; empty when none is named."""


def packages(dpkg_status: str) -> tuple[Package, ...]:
    """The installed packages in dpkg's status file, sorted by name.

    Debian's version is split at its last hyphen; a native package has the release `0`.
    """
    found = []
    for fields in _paragraphs(dpkg_status):
        if fields.get("Status", "").split()[-1:] != ["installed"] or "Package" not in fields:
            continue
        version, hyphen, release = fields.get("Version", "").rpartition("-")
        if not hyphen:
            version, release = release, "0"
        architecture = fields.get("Architecture", "")
        arch = _DPKG_ARCHITECTURES.get(architecture, architecture)
        found.append(Package(fields["Package"], version, release, arch))
    return tuple(sorted(found, key=lambda package: (package.name, package.arch)))


def mounts(fstab: str) -> tuple[Mount, ...]:
    """The lines of fstab that name a device and a place."""
    found = []
    for line in fstab.splitlines():
        words = line.split()
        if len(words) >= 3 and not words[0].startswith("#") and words[1].startswith("/"):
            found.append(Mount(words[0], PurePosixPath(words[1])))
    return tuple(found)


def names_device(
    mount: Mount, *, uuid: str, label: str, partition_uuid: str, partition_label: str
) -> bool:
    """Whether an fstab line means the file system with these names."""
    names = {
        "uuid": uuid,
        "label": label,
        "partuuid": partition_uuid,
        "partlabel": partition_label,
    }
    key, equals, value = mount.device.partition("=")
    if not equals:
        prefix, _, value = mount.device.rpartition("/")
        key = prefix.removeprefix("/dev/disk/by-")
    wanted = names.get(key.lower(), "")
    return bool(wanted) and value.strip('"').lower() == wanted.lower()


def loader_entry(text: str) -> LoaderEntry:
    """Read a file of `loader/entries/`."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            fields.setdefault(key.lower(), []).append(value.strip())
    images = [fields[key][0] for key in ("uki", "efi", "linux") if key in fields]
    return LoaderEntry(
        is_uki=bool({"efi", "uki"} & fields.keys()),
        cmdline=" ".join(fields.get("options", [])),
        kernel=" ".join(fields.get("version", [])[:1]),
        image=images[0] if images else "",
    )


def grub_command_lines(config: str) -> tuple[str, ...]:
    """The kernel command lines in a grub.cfg, without the kernel's path."""
    found = []
    for line in config.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[0] in ("linux", "linux16", "linuxefi"):
            found.append(words[2])
    return tuple(found)


def options(command_lines: Iterable[str], name: str) -> tuple[str, ...]:
    """The different values that `name=` has in these command lines, in order."""
    values: dict[str, None] = {}
    for line in command_lines:
        for word in line.split():
            key, equals, value = word.partition("=")
            if equals and key == name:
                values[value.strip('"')] = None
    return tuple(values)


def _paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    fields: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif not line[0].isspace():
            name, _, value = line.partition(":")
            fields[name] = value.strip()
