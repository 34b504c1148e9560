"""The file system of a medium: ISO 9660 with Rock Ridge and two El Torito boot images, by pycdlib.

The same entries give the same bytes, whenever and wherever they are written. isolinux and some
firmware read the plain ISO names, Linux and GRUB those of Rock Ridge.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pycdlib
from pycdlib import dates, headervd
from pycdlib import pycdlib as mastering
from pycdlib.pycdlibexception import PyCdlibException

from agent.api.errors import Kind, TridentError

SECTOR = 2048
_PLATFORM_BIOS, _PLATFORM_EFI = 0x00, 0xEF
_BIOS_LOAD_BLOCKS = 4
_BLOCK = 512
_COPY_BYTES = 1 << 20
_LARGEST_PIECE = (1 << 32) - SECTOR
_NOT_ALLOWED = re.compile(r"[^A-Z0-9_]")
_FILE_MODE, _FOLDER_MODE = 0o100444, 0o040555


@dataclass(frozen=True)
class Entry:
    """One file: its path on the medium, without a leading slash, and where its bytes are."""

    name: str
    source: Path | bytes

    @property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True)
class BootImages:
    """Names of the entries that BIOS and UEFI start, and of the catalogue that names them."""

    bios: str
    efi: str
    catalogue: str


@dataclass(frozen=True)
class Place:
    """Where a file is in the image, in bytes."""

    offset: int
    size: int


def write(
    target: Path, label: str, entries: Sequence[Entry], boot: BootImages, *, time_s: int
) -> Mapping[str, Place]:
    """Write the image and tell where its files are. `time_s` is what all time stamps say.

    Files of 4 GiB and more are in several pieces, and left out of what is told. Raises OSError.
    """
    with _clock_stopped(time_s), _new(label) as image:
        names = _Names()
        for entry in entries:
            _add(image, entry, names)
        image.add_eltorito(
            names.of(boot.bios),
            names.of(boot.catalogue),
            rr_bootcatname=PurePosixPath(boot.catalogue).name,
            boot_load_size=_BIOS_LOAD_BLOCKS,
            platform_id=_PLATFORM_BIOS,
            boot_info_table=True,
        )
        blocks = next(-(-entry.size // _BLOCK) for entry in entries if entry.name == boot.efi)
        image.add_eltorito(
            names.of(boot.efi), boot_load_size=blocks, platform_id=_PLATFORM_EFI, efi=True
        )
        image.force_consistency()
        with target.open("wb") as stream:
            image.write_fp(stream, blocksize=_COPY_BYTES)
        whole = [entry.name for entry in entries if entry.size < _LARGEST_PIECE]
        return {name: _place(image, name) for name in whole}


def places(path: Path, names: Sequence[str]) -> Mapping[str, Place]:
    """Where the named files of an existing image are, but those it lacks or has in pieces.

    Raises iso-unreadable for what is no ISO image with Rock Ridge names.
    """
    with _opened(path) as image:
        found = {}
        for name in names:
            try:
                place = _place(image, name)
            except PyCdlibException:
                continue
            if place.size < _LARGEST_PIECE:
                found[name] = place
        return found


@contextmanager
def _opened(path: Path) -> Iterator[pycdlib.PyCdlib]:
    image = pycdlib.PyCdlib()
    try:
        image.open(str(path))
    except (PyCdlibException, OSError) as error:
        raise unreadable(path, str(error)) from error
    try:
        yield image
    finally:
        image.close()


class _Names:
    """ISO 9660 names of files and folders: unique in their folder, 8.3, upper case."""

    def __init__(self) -> None:
        self._known: dict[PurePosixPath, str] = {PurePosixPath("."): ""}
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """The ISO name of a file."""
        path = PurePosixPath(name)
        return self._named(path, *_parts(path.name)) + ";1"

    def of_folder(self, path: PurePosixPath) -> str:
        """The ISO name of a folder."""
        return self._named(path, _cleaned(path.name)[:8], "")

    def is_known(self, path: PurePosixPath) -> bool:
        return path in self._known

    def _named(self, path: PurePosixPath, stem: str, suffix: str) -> str:
        if path not in self._known:
            base = self._known[path.parent]
            wanted, number = f"{base}/{stem}{suffix}", 0
            while wanted in self._taken:
                number += 1
                wanted = f"{base}/{stem[: 8 - len(str(number))]}{number}{suffix}"
            self._taken.add(wanted)
            self._known[path] = wanted
        return self._known[path]


def _parts(name: str) -> tuple[str, str]:
    stem, _, suffix = name.rpartition(".") if "." in name else (name, "", "")
    return _cleaned(stem)[:8], f".{_cleaned(suffix)[:3]}"


def _cleaned(text: str) -> str:
    return _NOT_ALLOWED.sub("_", text.upper())


def _add(image: pycdlib.PyCdlib, entry: Entry, names: _Names) -> None:
    path = PurePosixPath(entry.name)
    for folder in reversed(path.parents[:-1]):
        if not names.is_known(folder):
            image.add_directory(
                names.of_folder(folder), rr_name=folder.name, file_mode=_FOLDER_MODE
            )
    iso_path = names.of(entry.name)
    if isinstance(entry.source, bytes):
        content = io.BytesIO(entry.source)
        image.add_fp(content, len(entry.source), iso_path, rr_name=path.name, file_mode=_FILE_MODE)
    else:
        image.add_file(str(entry.source), iso_path, rr_name=path.name, file_mode=_FILE_MODE)


def _place(image: pycdlib.PyCdlib, name: str) -> Place:
    record = image.get_record(rr_path=f"/{name}")
    return Place(record.extent_location() * SECTOR, record.get_data_length())


@contextmanager
def _new(label: str) -> Iterator[pycdlib.PyCdlib]:
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=label, sys_ident="LINUX", rock_ridge="1.09")
    try:
        yield image
    finally:
        image.close()


@contextmanager
def _clock_stopped(time_s: int) -> Iterator[None]:
    """pycdlib asks the clock for every time stamp and tells it in local time."""
    stopped = SimpleNamespace(**vars(time))
    stopped.time = lambda: float(time_s)
    stopped.localtime = time.gmtime
    modules = (mastering, headervd, dates)
    for module in modules:
        vars(module)["time"] = stopped
    try:
        yield
    finally:
        for module in modules:
            vars(module)["time"] = time


def unreadable(path: Path, why: str) -> TridentError:
    """The error for what is no ISO image, or a damaged one."""
    return TridentError(
        Kind.INVALID_INPUT,
        "iso-unreadable",
        f"{path} is no readable ISO image: {why}",
        hint="name an image that trident-iso made",
    )
