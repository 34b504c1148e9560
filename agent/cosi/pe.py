"""Reads the sections of a PE file (a unified kernel image) out of bytes. Pure; no I/O.

Microsoft PE/COFF specification; UAPI.5 for what the sections of a UKI hold; the x86 boot protocol
(`Documentation/arch/x86/boot.rst`) for the version string inside a kernel.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from agent.cosi.tar import corrupt

Data = bytes | bytearray | memoryview | mmap.mmap

MAX_SECTIONS = 96
MAX_TEXT_BYTES = 64 * 1024
_COFF = struct.Struct("<HHIIIHH")
_SECTION = struct.Struct("<8sIIII")
_SECTION_BYTES = 40
_PE32_PLUS = 0x20B
_DIRECTORIES_32, _DIRECTORIES_64 = 96, 112
_CERTIFICATES = 4
_KERNEL_VERSION_POINTER = 0x20E


@dataclass(frozen=True)
class Uki:
    """What a unified kernel image says of itself. `kernel` is the release, as of `uname -r`."""

    cmdline: str
    kernel: str
    os_release: str


@dataclass(frozen=True)
class Place:
    """Where the content of a section lies in the file: `size` bytes at `offset`."""

    offset: int
    size: int


def sections(data: Data) -> Mapping[str, memoryview]:
    """The sections by name; the first of a name counts. Raises corrupt-os-image."""
    view = memoryview(data)
    return {
        name: view[place.offset : place.offset + place.size] for name, place in places(data).items()
    }


def places(data: Data) -> Mapping[str, Place]:
    """Where the sections are, by name; the first of a name counts. Raises corrupt-os-image."""
    view = memoryview(data)
    start, count, optional_bytes = _coff(view)
    table = start + 4 + _COFF.size + optional_bytes
    if count > MAX_SECTIONS or table + count * _SECTION_BYTES > len(view):
        raise corrupt("the section table of the boot file is malformed")
    found: dict[str, Place] = {}
    for index in range(count):
        name, virtual, _, raw, offset = _SECTION.unpack_from(view, table + index * _SECTION_BYTES)
        if offset + raw > len(view):
            raise corrupt("a section of the boot file ends behind its end")
        size = min(virtual, raw) if virtual else raw
        found.setdefault(name.rstrip(b"\0").decode("ascii", "replace"), Place(offset, size))
    return found


def is_signed(data: Data) -> bool:
    """Whether the file carries an Authenticode signature. Raises corrupt-os-image."""
    view = memoryview(data)
    start, _, optional_bytes = _coff(view)
    optional = view[start + 4 + _COFF.size :][:optional_bytes]
    if len(optional) < 2:
        return False
    (magic,) = struct.unpack_from("<H", optional)
    entry = (_DIRECTORIES_64 if magic == _PE32_PLUS else _DIRECTORIES_32) + 8 * _CERTIFICATES
    if len(optional) < entry + 8:
        return False
    (size,) = struct.unpack_from("<I", optional, entry + 4)
    return bool(size)


def _coff(view: memoryview) -> tuple[int, int, int]:
    """Where the PE signature is, how many sections there are, bytes of the optional header."""
    if len(view) < 64 or bytes(view[:2]) != b"MZ":
        raise corrupt("the boot file is no PE file")
    (start,) = struct.unpack_from("<I", view, 60)
    if start + 4 + _COFF.size > len(view) or bytes(view[start : start + 4]) != b"PE\0\0":
        raise corrupt("the boot file is no PE file")
    _, count, _, _, _, optional_bytes, _ = _COFF.unpack_from(view, start + 4)
    return start, count, optional_bytes


def parse_uki(data: Data) -> Uki:
    """Read a unified kernel image. Raises corrupt-os-image when it is none."""
    found = sections(data)
    if ".linux" not in found:
        raise corrupt("the boot file holds no kernel: it is no unified kernel image")
    kernel = _text(found.get(".uname")) or kernel_release(found[".linux"])
    if not kernel:
        raise corrupt("the unified kernel image does not tell its kernel's release")
    return Uki(
        cmdline=_text(found.get(".cmdline")), kernel=kernel, os_release=_text(found.get(".osrel"))
    )


def kernel_release(image: memoryview | bytes) -> str:
    """The release inside an x86 kernel image (bzImage); empty when it has none."""
    view = memoryview(image)
    if len(view) < 0x210 or bytes(view[0x202:0x206]) != b"HdrS":
        return ""
    (pointer,) = struct.unpack_from("<H", view, _KERNEL_VERSION_POINTER)
    start = pointer + 0x200
    words = bytes(view[start : start + 256]).split(b"\0")[0].split()
    return words[0].decode("ascii", "replace") if pointer and words else ""


def _text(section: memoryview | None) -> str:
    if section is None:
        return ""
    if len(section) > MAX_TEXT_BYTES:
        raise corrupt("a text section of the unified kernel image is absurdly large")
    return bytes(section).split(b"\0")[0].decode("utf-8", "replace").strip()
