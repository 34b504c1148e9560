"""New file systems and swap areas. Destroys what is on the device."""

from __future__ import annotations

from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux.run import run

_COMMANDS: dict[str, tuple[str, ...]] = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "vfat": ("mkfs.vfat",),
    "ntfs": ("mkfs.ntfs", "--quick", "--force"),
}
_TIMEOUT_S = 1800.0


def binary(filesystem: str) -> str:
    """The program that makes this type of file system (to check that it is installed)."""
    return _command(filesystem)[0]


def make(filesystem: str, device: Path) -> None:
    """Make a file system on `device`. Destroys what was on it."""
    run([*_command(filesystem), device], timeout_s=_TIMEOUT_S)


def make_swap(device: Path) -> None:
    """Make a swap area on `device`. Destroys what was on it."""
    run(["mkswap", device])


def _command(filesystem: str) -> tuple[str, ...]:
    command = _COMMANDS.get(filesystem)
    if command is None:
        raise TridentError(
            Kind.INTERNAL,
            "internal",
            f"no program is known that makes '{filesystem}' file systems",
            fields={"filesystem": filesystem},
        )
    return command
