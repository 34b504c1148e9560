"""GRUB configuration as text: pointing it at a file system, kernel arguments. Pure."""

from __future__ import annotations

import re

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
