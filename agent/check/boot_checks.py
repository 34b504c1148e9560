"""Rules about services, kernel modules and kernel arguments that upstream lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agent.api.osconfig import LoadMode, Module, Os
from agent.api.yamltext import Path
from agent.check.findings import Finding

_UNIT: Final = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9:_.\\@-]{0,254}")
_MODULE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ARGUMENT: Final = re.compile(r"[ -&(-~]+")
"""Printable ASCII but for the apostrophe, which boot loaders cannot pass on inside quotes."""


def check(os: Os) -> Iterator[Finding]:
    yield from _services(os)
    seen: set[str] = set()
    for index, module in enumerate(os.modules):
        path: Path = ("os", "modules", index)
        yield from _module(module, path)
        plain = module.name.replace("-", "_")
        if plain in seen:
            yield Finding(
                "duplicate-module",
                f"the kernel module '{module.name}' is listed twice",
                (*path, "name"),
                "merge the entries",
            )
        seen.add(plain)
    for index, argument in enumerate(os.kernel_command_line.extra_command_line):
        if not _ARGUMENT.fullmatch(argument) or argument.count('"') % 2:
            yield Finding(
                "invalid-kernel-argument",
                f"{argument!r} cannot be passed to the kernel",
                ("os", "kernelCommandLine", "extraCommandLine", index),
                "use printable ASCII without apostrophes, and quotation marks in pairs",
            )


def _services(os: Os) -> Iterator[Finding]:
    for key, units in (("enable", os.services.enable), ("disable", os.services.disable)):
        for index, unit in enumerate(units):
            path: Path = ("os", "services", key, index)
            if not _UNIT.fullmatch(unit):
                yield Finding(
                    "invalid-service-name", f"'{unit}' is not the name of a systemd unit", path
                )
            elif key == "disable" and unit in os.services.enable:
                yield Finding(
                    "service-enabled-and-disabled",
                    f"'{unit}' is to be enabled and disabled",
                    path,
                    "remove it from one of the lists",
                )


def _module(module: Module, path: Path) -> Iterator[Finding]:
    if not _MODULE.fullmatch(module.name):
        yield Finding(
            "invalid-module-name",
            f"'{module.name}' is not the name of a kernel module",
            (*path, "name"),
        )
    if module.options and module.load_mode is LoadMode.DISABLE:
        yield Finding(
            "module-disabled-with-options",
            f"the kernel module '{module.name}' is disabled, and has options",
            (*path, "options"),
            "remove the options",
        )
    for key, value in module.options.items():
        if not _MODULE.fullmatch(key.replace(".", "_")) or re.search(r'["\x00-\x1f\x7f]', value):
            yield Finding(
                "invalid-module-option",
                f"'{key}={value}' is no option that modprobe.d can hold",
                (*path, "options"),
                "use one line without quotation marks; blanks are quoted for you",
            )
