"""The boot menus of a medium: GRUB for UEFI, isolinux for BIOS. Pure: a value in, texts out.

Each text fills a file of fixed size, so that another menu can be written in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from agent.api.errors import Kind, TridentError
from agent.medium import layout

CONSOLES: Final = ("console=tty0", "console=ttyS0,115200n8")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.,:/=@%+\[\]~*?-]+")
_COMMAND_LINE_BYTES: Final = 1800
"""What x86 kernels take is 2047; the loaders add to it."""
MARKER: Final = "EFI/BOOT/TRIDENT.ID"
"""A file of the EFI boot image: a disk that has it is a medium of ours, and nothing to boot."""


class Local(StrEnum):
    """Whose loader on the local disk comes first: that of an A/B volume, or the fallback."""

    ANY = "any"
    A = "volume-a"
    B = "volume-b"


class Menu(BaseModel):
    """What a medium's menus offer. `arguments` are kernel arguments of every entry."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    label: str
    arguments: tuple[str, ...] = CONSOLES
    unattended: bool = False
    """The installation starts by itself when the countdown ends."""
    countdown_s: int = Field(default=10, ge=1, le=3600)
    local: Local | None = None
    """The local disk boots when the countdown ends: the machine is installed."""

    @field_validator("arguments")
    @classmethod
    def _words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if not _ARGUMENT.fullmatch(word):
                raise ValueError(f"{word!r} cannot be passed through a boot loader")
        return words

    @property
    def default(self) -> str:
        """The entry that is chosen already: `install`, `attended` or `local`."""
        if self.local is not None:
            return "local"
        return "install" if self.unattended else "attended"

    @property
    def counts_down(self) -> bool:
        """Whether that entry starts by itself."""
        return self.unattended or self.local is not None

    def command_line(self, *words: str) -> str:
        """The kernel command line of an entry with these words of its own."""
        return " ".join((f"trident.medium={self.label}", *words, *self.arguments))


_FALLBACK: Final = "/EFI/BOOT/BOOTX64.EFI"
_VOLUME_LOADERS: Final = {
    Local.A: "/EFI/AZLA/BOOTX64.EFI",
    Local.B: "/EFI/AZLB/BOOTX64.EFI",
}


def chosen(
    *,
    label: str,
    arguments: Sequence[str],
    unattended: bool,
    countdown_s: int,
    local: Local | None = None,
) -> Menu:
    """A menu of what an operator gave. Raises kernel-argument."""
    try:
        return Menu(
            label=label,
            arguments=tuple(arguments),
            unattended=unattended,
            countdown_s=countdown_s,
            local=local,
        )
    except ValidationError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "kernel-argument",
            "; ".join(one["msg"] for one in error.errors()),
            hint="give each argument as a word of its own: letters, digits and _ . , : / = @ % + -",
        ) from error


@dataclass(frozen=True)
class _Entry:
    """An entry of the menus. `key` starts it (GRUB) or selects it (isolinux)."""

    name: str
    key: str
    title: str
    words: tuple[str, ...] = ()


_ENTRIES: Final = (
    _Entry("install", "i", "Install this machine from its Host Configuration"),
    _Entry("again", "a", "Install this machine again", ("trident.reinstall",)),
    _Entry("attended", "h", "Install by hand", ("trident.attended",)),
    _Entry("shell", "s", "Start a shell", ("trident.shell", "trident.attended")),
)
_LOCAL: Final = _Entry("local", "l", "Boot from the local disk")


def texts(menu: Menu) -> Mapping[str, bytes]:
    """Content of every menu file, by its name on the medium. Raises kernel-arguments-too-long."""
    length = max(len(menu.command_line(*entry.words)) for entry in _ENTRIES)
    if length > _COMMAND_LINE_BYTES:
        raise TridentError(
            Kind.INVALID_INPUT,
            "kernel-arguments-too-long",
            f"the kernel command line would have {length} bytes; {_COMMAND_LINE_BYTES} are allowed",
            hint="pass fewer or shorter kernel arguments",
        )
    return {
        layout.GRUB_MENU: _filled(grub(menu)),
        layout.ISOLINUX_MENU: _filled(isolinux(menu)),
    }


def grub(menu: Menu) -> str:
    """GRUB's menu. The local disk is that of another loader than the medium's own."""
    lines = [
        f"search --no-floppy --set=root --label {menu.label}",
        f"set default={menu.default}",
        *([f"set timeout={menu.countdown_s}"] if menu.counts_down else []),
        "set pager=0",
    ]
    for entry in _ENTRIES:
        lines += [
            _grub_entry(entry),
            "  echo 'Loading the servicing system ...'",
            f"  linux ($root)/{layout.KERNEL} {menu.command_line(*entry.words)}",
            f"  initrd ($root)/{layout.INITRD}",
            "}",
        ]
    lines += [_grub_entry(_LOCAL)]
    for loader in _local_loaders(menu.local):
        lines += [
            "  for disk in (hd*,gpt*); do",
            f"    if [ -f ${{disk}}{loader} -a ! -f ${{disk}}/{MARKER} ]; then",
            "      set root=${disk}",  # the device that GRUB 2.06 tells the loader it came from
            f"      chainloader ${{disk}}{loader}",
            "      boot",
            "    fi",
            "  done",
        ]
    return "\n".join([*lines, "  exit", "}", ""])


def _local_loaders(local: Local | None) -> Sequence[str]:
    usual = (_FALLBACK, *_VOLUME_LOADERS.values())
    first = _VOLUME_LOADERS.get(local) if local is not None else None
    return usual if first is None else (first, *(one for one in usual if one != first))


def grub_redirection(label: str) -> str:
    """The menu in the EFI boot image: it goes on to the one of the ISO file system."""
    return (
        f"search --no-floppy --set=root --label {label}\n"
        "set prefix=($root)/boot/grub\n"
        f"configfile ($root)/{layout.GRUB_MENU}\n"
    )


def isolinux(menu: Menu) -> str:
    """isolinux's menu, on screen and serial line. Its countdown is in tenths of a second."""
    lines = [
        "SERIAL 0 115200",
        "UI menu.c32",
        "MENU TITLE Trident installation medium",
        f"DEFAULT {menu.default}",
        *([f"TIMEOUT {10 * menu.countdown_s}"] if menu.counts_down else []),
        "PROMPT 0",
    ]
    for entry in _ENTRIES:
        lines += [
            *_isolinux_entry(entry),
            *_marked(entry, menu),
            f"  LINUX /{layout.KERNEL}",
            f"  INITRD /{layout.INITRD}",
            f"  APPEND {menu.command_line(*entry.words)}",
        ]
    local = [*_isolinux_entry(_LOCAL), *_marked(_LOCAL, menu), "  LOCALBOOT -1"]
    return "\n".join([*lines, *local, ""])


def _marked(entry: _Entry, menu: Menu) -> list[str]:
    return ["  MENU DEFAULT"] if entry.name == menu.default else []


def _grub_entry(entry: _Entry) -> str:
    return f"menuentry '{entry.title}' --id {entry.name} --hotkey={entry.key} {{"


def _isolinux_entry(entry: _Entry) -> list[str]:
    """isolinux marks the key in the title: `Install by ^hand`."""
    at = f" {entry.title.lower()}".index(f" {entry.key}")
    title = f"{entry.title[:at]}^{entry.title[at:]}"
    return [f"LABEL {entry.name}", f"  MENU LABEL {title}"]


def _filled(text: str) -> bytes:
    """The text, padded to the size of a menu file by empty lines."""
    data = text.encode("ascii")
    if len(data) > layout.MENU_BYTES:
        raise ValueError(f"a menu of {len(data)} bytes does not fit {layout.MENU_BYTES}")
    return data.ljust(layout.MENU_BYTES, b"\n")
