"""Unified kernel images (UAPI.5) out of systemd's stub, by objcopy: ukify is not in Debian 12.

Sections are laid one after the other behind those of the stub, by their real sizes: fixed
addresses would overlap as soon as a kernel grows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import run

_COFF = struct.Struct("<HHIIIHH")
_SECTION = struct.Struct("<8sIIII16x")
_OPTIONAL_PE32_PLUS = 0x20B


@dataclass(frozen=True)
class Section:
    """A section to add: its name and the file that holds its content."""

    name: str
    source: Path


@dataclass(frozen=True)
class Layout:
    """Where a PE file ends in memory and how its sections are aligned (absolute addresses)."""

    end: int
    alignment: int

    def place(self, sizes: Sequence[int]) -> list[int]:
        """The addresses of further sections of these sizes, in order, none overlapping."""
        addresses = []
        free = self.end
        for size in sizes:
            addresses.append(free)
            free = _align(free + size, self.alignment)
        return addresses


def layout(stub: bytes) -> Layout:
    """Read the memory layout of a 64-bit PE file. Raises stub-unreadable."""
    try:
        return _layout(stub)
    except (struct.error, ValueError) as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "stub-unreadable",
            f"the UKI stub is not a 64-bit PE file: {error}",
            hint="check the package systemd-boot-efi",
        ) from error


def build(stub: Path, sections: Sequence[Section], target: Path) -> None:
    """Write a UKI: the stub with the sections added in this order. Needs binutils."""
    sizes = [section.source.stat().st_size for section in sections]
    addresses = layout(stub.read_bytes()).place(sizes)
    command = ["objcopy"]
    for section, address in zip(sections, addresses, strict=True):
        command += ["--add-section", f"{section.name}={section.source}"]
        command += ["--change-section-vma", f"{section.name}={address:#x}"]
    run.run([*command, str(stub), str(target)])


def _layout(stub: bytes) -> Layout:
    (start,) = struct.unpack_from("<I", stub, 60)
    if stub[:2] != b"MZ" or stub[start : start + 4] != b"PE\0\0":
        raise ValueError("no PE signature")
    _, count, _, _, _, optional_size, _ = _COFF.unpack_from(stub, start + 4)
    optional = start + 4 + _COFF.size
    (magic,) = struct.unpack_from("<H", stub, optional)
    if magic != _OPTIONAL_PE32_PLUS:
        raise ValueError(f"optional header {magic:#x}")
    (image_base,) = struct.unpack_from("<Q", stub, optional + 24)
    (alignment,) = struct.unpack_from("<I", stub, optional + 32)
    ends = []
    for index in range(count):
        entry = _SECTION.unpack_from(stub, optional + optional_size + index * 40)
        _, virtual_size, virtual_address, raw_size, _ = entry
        ends.append(virtual_address + max(virtual_size, raw_size))
    return Layout(image_base + _align(max(ends), alignment), alignment)


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
