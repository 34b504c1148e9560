"""The boot decision: what a machine that asks to boot from the network is told. Pure.

An installed machine gets the same loader as one to be installed; the script it then runs leaves for
the local disk. Giving it nothing would be simpler, but EDK2 waits for a boot file for a minute
(4 + 8 + 16 + 32 s) before it takes its next boot option. A machine nobody has declared gets no
file at all; UEFI PXE firmware is told in PXE's own words that there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from bootserver.boot.machine import (
    Answer,
    Architecture,
    Bootfile,
    BootUrl,
    Ignore,
    LocalDisk,
    Machine,
)
from bootserver.settings import Loader

BIOS_IPXE: Final = "bios/undionly.kpxe"
EFI_IPXE: Final = "x86_64/snponly.efi"
EFI_SHIM: Final = "x86_64/shimx64.efi"
ARM64_IPXE: Final = "arm64/snponly.efi"
_UEFI_PXE: Final = frozenset({Architecture.EFI_X86_64, Architecture.EFI_ARM64})


@dataclass(frozen=True)
class Subject:
    """What the server knows of the machine. `problem` says why it cannot be served, or is None."""

    declared: bool
    loader: Loader = Loader.IPXE
    problem: str | None = None
    installed: bool = False
    reinstall: bool = False

    @property
    def boots_its_disk(self) -> bool:
        """Installed, and no reinstall was granted."""
        return self.installed and not self.reinstall

    @property
    def refusal(self) -> str | None:
        """Why the machine is not to be installed now; None when it is."""
        if not self.declared:
            return "not declared"
        return "installed: boots its own disk" if self.boots_its_disk else self.problem


def decide(
    machine: Machine, subject: Subject, present: Set[str], set_architecture: str, base_url: str
) -> Answer:
    """The answer to one boot request.

    `present` holds the artefact paths that exist, `set_architecture` the servicing image's.
    """
    if not machine.is_pxe:
        return Ignore("does not ask to boot from the network")
    if not subject.declared and not machine.is_ipxe and machine.architecture in _UEFI_PXE:
        return LocalDisk("not declared")
    if subject.declared and machine.is_ipxe:
        return _ipxe(machine, set_architecture, base_url)
    if subject.refusal is not None and not (subject.declared and subject.boots_its_disk):
        return Ignore(subject.refusal)
    return _loader(machine, subject.loader, present, base_url)


def _ipxe(machine: Machine, set_architecture: str, base_url: str) -> Answer:
    wanted = _cpu(machine.architecture)
    if wanted is not None and wanted != set_architecture:
        return Ignore(f"the servicing image is for {set_architecture}, the machine is {wanted}")
    return BootUrl(f"{base_url}/ipxe/{machine.mac}")


def _cpu(architecture: Architecture) -> str | None:
    match architecture:
        case Architecture.EFI_ARM64 | Architecture.HTTP_ARM64:
            return "arm64"
        case Architecture.BIOS | Architecture.EFI_X86_64 | Architecture.HTTP_X86_64:
            return "x86_64"
        case Architecture.OTHER:
            return None


def _loader(machine: Machine, loader: Loader, present: Set[str], base_url: str) -> Answer:
    match machine.architecture:
        case Architecture.BIOS:
            return _file(BIOS_IPXE, present)
        case Architecture.EFI_X86_64:
            return _file(EFI_SHIM if loader is Loader.SHIM else EFI_IPXE, present)
        case Architecture.EFI_ARM64:
            return _file(ARM64_IPXE, present)
        case Architecture.HTTP_X86_64:
            return _url(EFI_IPXE, present, base_url)
        case Architecture.HTTP_ARM64:
            return _url(ARM64_IPXE, present, base_url)
        case Architecture.OTHER:
            return Ignore(f"no loader for architecture code {machine.architecture_code}")


def _file(path: str, present: Set[str]) -> Answer:
    return Bootfile(path) if path in present else Ignore(f"{path} is not in the artefact folder")


def _url(path: str, present: Set[str], base_url: str) -> Answer:
    answer = _file(path, present)
    return BootUrl(f"{base_url}/artifacts/{path}") if isinstance(answer, Bootfile) else answer
