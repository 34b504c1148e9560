"""Placeholders `${name}` in the Host Configurations and commands of scenarios. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.errors import LabError
from lab.qemu import Bus

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z][A-Za-z0-9.-]*)\}")

_BY_ID = {
    Bus.VIRTIO: "virtio-{}",
    Bus.NVME: "nvme-QEMU_NVMe_Ctrl_{}",
    Bus.AHCI: "ata-QEMU_HARDDISK_{}",
    Bus.USB: "usb-QEMU_QEMU_HARDDISK_{}-0:0",
}


def device(bus: Bus, serial: str) -> str:
    """The stable path of a whole disk inside the guest (udev's by-id link)."""
    return "/dev/disk/by-id/" + _BY_ID[bus].format(serial)


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """Replace placeholders in all strings of a YAML value. Raises LabError for unknown ones."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _look_up(found[1], values), value)
    if isinstance(value, list | tuple):
        return [fill(one, values) for one in value]
    if isinstance(value, dict):
        return {key: fill(one, values) for key, one in value.items()}
    return value


def fill_known(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a shell command; other `${...}` is the shell's own."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def _look_up(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise LabError(f"unknown placeholder ${{{name}}}", hint="known: " + ", ".join(values))
    return values[name]
