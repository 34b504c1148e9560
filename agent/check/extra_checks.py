"""Rules that upstream lacks: what would otherwise fail only after the disks are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agent.api.hostconfig import HostConfiguration
from agent.api.storage import Storage
from agent.api.yamltext import Path
from agent.check import account_checks, boot_checks
from agent.check.findings import Finding

MAX_LABEL_UNITS: Final = 36
"""UTF-16 code units in the name of a GPT partition (UEFI specification, 5.3.3)."""
MAX_HOSTNAME: Final = 64
_HOSTNAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BLANK: Final = re.compile(r"\s")


def check(hc: HostConfiguration) -> Iterator[Finding]:
    yield from _labels(hc.storage)
    yield from _mount_points(hc.storage)
    yield from _hostname(hc.os.hostname)
    yield from account_checks.check(hc.os.users, ("os", "users"))
    yield from account_checks.check(hc.management_os.users, ("managementOs", "users"))
    yield from boot_checks.check(hc.os)
    for index, file in enumerate(hc.os.additional_files):
        if not file.destination.is_absolute():
            yield Finding(
                "path-not-absolute",
                f"the destination '{file.destination}' is not absolute",
                ("os", "additionalFiles", index, "destination"),
            )


def _labels(storage: Storage) -> Iterator[Finding]:
    for d, disk in enumerate(storage.disks):
        for p, partition in enumerate(disk.partitions):
            key = "id" if partition.label is None else "label"
            path: Path = ("storage", "disks", d, "partitions", p, key)
            yield from _label(partition.effective_label, path)


def _label(label: str, path: Path) -> Iterator[Finding]:
    units = len(label.encode("utf-16-le")) // 2
    if units > MAX_LABEL_UNITS:
        yield Finding(
            "partition-label-too-long",
            f"the partition's name '{label}' is longer than the {MAX_LABEL_UNITS} characters that"
            " a partition table has room for",
            path,
            "give it a shorter label",
        )
    if _CONTROL.search(label):
        yield Finding(
            "invalid-partition-label",
            "the partition's name contains a control character",
            path,
            "give it a label of visible characters",
        )


def _mount_points(storage: Storage) -> Iterator[Finding]:
    for index, fs in enumerate(storage.filesystems):
        if fs.mount_point is not None and _BLANK.search(fs.mount_point.options):
            yield Finding(
                "invalid-mount-options",
                f"mount options cannot contain blanks: '{fs.mount_point.options}'",
                ("storage", "filesystems", index, "mountPoint", "options"),
                "separate options by commas",
            )


def _hostname(hostname: str | None) -> Iterator[Finding]:
    if hostname is None:
        return
    if len(hostname) > MAX_HOSTNAME or not _HOSTNAME.fullmatch(hostname):
        yield Finding(
            "invalid-hostname",
            f"'{hostname}' is not a host name",
            ("os", "hostname"),
            f"use up to {MAX_HOSTNAME} letters, digits, hyphens and dots",
        )
