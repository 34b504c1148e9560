"""Files of an OS that name its file systems by UUID, and how they follow when a UUID changes.

Only plain text and the command line of unified kernel images are altered, in their place: old and
new identifiers have the same length, so that no file grows and nothing else of it changes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.cosi import pe
from iso_builder.cosi import imagefs
from iso_builder.cosi.bootentries import (
    ENTRY_FOLDER,
    ENTRY_FOLDERS,
    UKI_FOLDER,
    grub_folders,
    mapped,
)
from iso_builder.cosi.imagefs import ImageFs, PlainFile

_FILES = ("/etc/fstab", "/etc/default/grub", "/etc/kernel/cmdline")
_CHUNK_BYTES = 4 * 1024 * 1024
_POLICIES = (".pcrsig", ".pcrpkey")
"""Sections of a UKI with a signature over what the TPM measures, the command line included."""


class Renaming:
    """Old identifiers and the new ones. Matches whole identifiers, whatever their case."""

    def __init__(self, new_of: Mapping[str, str]) -> None:
        """`new_of` maps identifiers to others of the same length."""
        assert all(len(old) == len(new) for old, new in new_of.items())
        self._new_of = {old.lower().encode(): new.encode() for old, new in new_of.items()}
        either = b"|".join(re.escape(old) for old in sorted(self._new_of))
        self._pattern = re.compile(
            rb"(?<![0-9a-fA-F-])(?:%s)(?![0-9a-fA-F-])" % either, re.IGNORECASE
        )

    def apply(self, data: bytes) -> bytes:
        """`data` with every old identifier replaced; its length stays."""
        return self._pattern.sub(lambda found: self._new_of[found[0].lower()], data)

    def text(self, text: str) -> str:
        """The same for text."""
        return self.apply(text.encode()).decode()

    def count(self, image: Path) -> int:
        """How often old identifiers still stand in a file, lower or upper case."""
        longest = max(map(len, self._new_of))
        needles = {case for old in self._new_of for case in (old, old.upper())}
        found, tail = 0, b""
        with image.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                window = tail + chunk
                for needle in needles:
                    # What lies wholly in the tail was counted with the chunk before.
                    found += window.count(needle) - tail.count(needle)
                tail = window[-(longest - 1) :]
        return found


def follow(files: ImageFs, renaming: Renaming) -> Iterator[str]:
    """Alter every known file of a file system that names an old identifier; their paths.

    Changes: the image. Raises signed-boot-file, corrupt-os-image.
    """
    for path in sorted({*_FILES, *_configurations(files)}):
        found = imagefs.find(files, path)
        if found is None:
            continue
        before = imagefs.read(files, path) or b""
        if _patch(files.image, found, 0, before, renaming):
            yield path
    for path in sorted(set(_programs(files))):
        if _follow_program(files, path, renaming):
            yield path


def _configurations(files: ImageFs) -> Iterator[str]:
    for folder in grub_folders(files):
        yield f"{folder}/grub.cfg"
        yield f"{folder}/grubenv"
    for folder in ENTRY_FOLDERS:
        for name in files.names(folder):
            if name.lower().endswith(".conf"):
                yield f"{folder}/{name}"


def _programs(files: ImageFs) -> Iterator[str]:
    """EFI programs that may be unified kernel images, or addons to one."""
    folders = [f"/EFI/{name}" for name in files.folders("/EFI")]
    folders += [f"{UKI_FOLDER}/{name}" for name in files.folders(UKI_FOLDER)]
    for folder in (*folders, ENTRY_FOLDER.replace("entries", "addons")):
        for name in files.names(folder):
            if name.lower().endswith(".efi"):
                yield f"{folder}/{name}"


def _follow_program(files: ImageFs, path: str, renaming: Renaming) -> bool:
    found = imagefs.find(files, path)
    if found is None:
        return False
    with tempfile.NamedTemporaryFile() as copy:
        imagefs.copy_out(files, path, Path(copy.name))
        program = mapped(Path(copy.name))
        try:
            places = pe.places(program)
        except TridentError:  # whatever it is, no firmware starts it
            return False
        place = places.get(".cmdline")
        if place is None:
            return False
        before = bytes(program[place.offset : place.offset + place.size])
        if renaming.apply(before) != before:
            _check_unsigned(path, program, places)
    return _patch(files.image, found, place.offset, before, renaming)


def _check_unsigned(path: str, program: pe.Data, places: Mapping[str, pe.Place]) -> None:
    policy = next((name for name in _POLICIES if name in places), None)
    if not pe.is_signed(program) and policy is None:
        return
    what = "signed" if policy is None else f"covered by a TPM policy ({policy})"
    raise TridentError(
        Kind.UNSUPPORTED_CONFIGURATION,
        "signed-boot-file",
        f"{path} is {what}, and its command line names a file system by UUID: "
        "another UUID would make it unbootable",
        hint="build the image anew with other UUIDs and sign it again, or name the root file "
        "system by PARTLABEL or PARTUUID in the command line",
    )


def _patch(image: Path, file: PlainFile, offset: int, before: bytes, renaming: Renaming) -> bool:
    after = renaming.apply(before)
    if after == before:
        return False
    imagefs.patch(image, file, offset, after)
    return True
