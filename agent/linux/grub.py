"""GRUB configuration as text: pointing it at a file system, kernel arguments. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.api.errors import Kind, TridentError

PANIC_S = 30
"""How long after a panic a kernel on trial restarts the machine."""
_UUID = r"[0-9A-Fa-f]{4,}(?:-[0-9A-Fa-f]{4,})*"
_SEARCH = re.compile(
    r"^(?P<before>\s*search(?:\.fs_uuid\s+|\s+(?=[^\n]*(?:--fs-uuid|-u\b))(?:-[^\s]+\s+)*))"
    rf"(?P<uuid>{_UUID})(?=\s|$)",
    re.MULTILINE,
)
_LINUX = re.compile(r"^[ \t]*linux(?:16|efi)?[ \t]+\S[^\n]*", re.MULTILINE)
_RECOVERY = frozenset(("single", "recovery", "rescue", "emergency"))
_PLAIN = re.compile(r"[\w./:,=@%+-]+", re.ASCII)
_SHELL_SPECIAL = re.compile(r'([\\"$`])')
_MARK = "# Kernel arguments of Trident's Host Configuration:"
_BLOCK = re.compile(rf"^{re.escape(_MARK)}\n[^\n]*\n", re.MULTILINE)
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')


@dataclass(frozen=True)
class Change:
    """What becomes of a kernel's arguments: those of some names go, others come last."""

    removed: frozenset[str] = frozenset()
    """Names: `selinux` removes `selinux` and `selinux=0`."""
    added: tuple[str, ...] = ()
    """Arguments as the kernel gets them; a value with blanks is quoted where it is written."""

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


def set_boot_filesystem(config: str, uuid: str) -> str:
    """`config` with every `search` by file system UUID looking for `uuid`.

    Knows `search --no-floppy --fs-uuid --set=root UUID`, `search -n -u UUID -s` and
    `search.fs_uuid UUID root`. Raises update-grub-configs when it holds none of them.
    """
    patched, count = _SEARCH.subn(lambda found: found["before"] + uuid, config)
    if count == 0:
        raise TridentError(
            Kind.SERVICING,
            "update-grub-configs",
            "the image's grub.cfg has no 'search' command by file system UUID",
            hint="the image builder must write `search --no-floppy --fs-uuid --set=root UUID` "
            "with the UUID of the file system that holds /boot",
        )
    return patched


def set_panic(config: str, seconds: int) -> str:
    """`config` with `panic=SECONDS` on the command line of every kernel that sets no panic= yet.

    A file that starts no kernel itself stays as it is.
    """

    def completed(found: re.Match[str]) -> str:
        line = found[0].rstrip()
        has = any(word.startswith("panic=") for word in line.split())
        return found[0] if has else f"{line} panic={seconds}"

    return _LINUX.sub(completed, config)


def starts_kernels(config: str) -> bool:
    """Whether this file itself starts a kernel that is no recovery entry."""
    return any(not _is_recovery(found[0]) for found in _LINUX.finditer(config))


def set_arguments(config: str, change: Change) -> str:
    """`config` with `change` made to the command line of every kernel but recovery entries.

    A file that starts no kernel itself stays as it is.
    """

    def changed(found: re.Match[str]) -> str:
        return found[0] if _is_recovery(found[0]) else _changed(found[0].rstrip(), change)

    return _LINUX.sub(changed, config)


def set_defaults(text: str, change: Change) -> str:
    """`text` of /etc/default/grub or a file of /etc/default/grub.d, for a later grub-mkconfig.

    Of equal names the last argument counts, so what `change` removes is not looked for. Idempotent.
    """
    kept = _BLOCK.sub("", text)
    if not change.added:
        return kept
    words = _SHELL_SPECIAL.sub(r"\\\1", " ".join(map(_quoted, change.added)))
    variable = "GRUB_CMDLINE_LINUX_DEFAULT"
    separator = "" if not kept or kept.endswith("\n") else "\n"
    return f'{kept}{separator}{_MARK}\n{variable}="${variable} {words}"\n'


def split_arguments(lines: Iterable[str]) -> tuple[str, ...]:
    """Kernel arguments in `lines`, which may hold several; quotes around blanks are taken off."""
    return tuple(
        word.replace('"', "") for line in lines for word in _WORD.findall(line) if word != '""'
    )


def _is_recovery(line: str) -> bool:
    return not _RECOVERY.isdisjoint(line.split())


def _changed(line: str, change: Change) -> str:
    for name in sorted(change.removed):
        line = re.sub(rf"[ \t]+{re.escape(name)}(?:=\S*)?(?=\s|$)", "", line)
    return " ".join([line, *map(_quoted, change.added)])


def _quoted(word: str) -> str:
    """A word of GRUB's language; its `linux` command passes it on as one argument."""
    return word if _PLAIN.fullmatch(word) else f"'{word}'"
