"""What keeps a medium that stays in the machine from installing it again and again.

After an installation from a medium an EFI variable remembers which one did it and what for. Some
firmware boots a stick whatever its boot order says; the installation then stops before anything is
touched, until an operator removes the medium or asks for it again (`trident.reinstall`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import efivars

NAME = "TridentInstalledFrom"
GUID = "2f6f5d0c-8a5e-4e0b-9d0c-6f2f0d1b7a55"


def leave(label: str, configuration: bytes, variables: Path = efivars.DIRECTORY) -> None:
    """Remember that the medium `label` installed this configuration. Raises set-efi-variable."""
    efivars.write(NAME, GUID, _mark(label, configuration), variables)


def require_new(label: str, configuration: bytes, variables: Path = efivars.DIRECTORY) -> None:
    """Raise installed-already when this medium installed this very configuration here before."""
    if efivars.read(NAME, GUID, variables) != _mark(label, configuration):
        return
    raise TridentError(
        Kind.INITIALIZATION,
        "installed-already",
        f"the medium {label} has installed this machine with this Host Configuration before",
        hint="remove the medium and restart the machine, which then boots its disk; to install it "
        "once more, choose 'Install this machine again' in the boot menu (trident.reinstall)",
    )


def _mark(label: str, configuration: bytes) -> bytes:
    return hashlib.sha256(label.encode() + b"\0" + configuration).digest()
