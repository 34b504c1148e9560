"""Compares a medium or a servicing image set with its own list of contents. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import unreadable
from agent.medium import layout
from agent.trust import check, contents
from agent.trust.check import Finding, Part, Problem
from agent.trust.contents import Contents, File
from agent.trust.keys import PublicKey
from iso_builder import manifest
from iso_builder.medium import seal
from iso_builder.medium.filesystem import Place

FRAME = "(outside of all files)"
"""Stands for partition tables, descriptors and folders in findings."""


@dataclass(frozen=True)
class Report:
    """What was found, and what there was to judge."""

    findings: tuple[Finding, ...]
    is_signed: bool
    is_changed: bool
    """Something was laid over the medium."""
    change_is_signed: bool

    def of(self, part: Part) -> tuple[Finding, ...]:
        """The findings about one part."""
        return tuple(finding for finding in self.findings if finding.part is part)


@dataclass(frozen=True)
class _Texts:
    """The documents of a medium or an image set; empty where there is none."""

    contents: bytes
    signature: bytes
    sums: bytes
    description: bytes = b""
    description_signature: bytes = b""


def verify(path: Path, key: PublicKey | None) -> Report:
    """Judge an ISO image or the folder of an image set. Raises iso-unreadable, read-input-file."""
    try:
        return image_set(path, key) if path.is_dir() else medium(path, key)
    except OSError as error:
        hint = "name an image or folder that trident-iso made"
        raise unreadable(path, error.strerror, hint) from error


def medium(image: Path, key: PublicKey | None) -> Report:
    """Judge an ISO image. Raises OSError, iso-unreadable."""
    measured = seal.measure(image)
    size = measured.frame.size
    beyond = sorted(name for name, places in measured.places.items() if _end(places) > size)
    if beyond:
        message = f"the image ends early: it lacks the end of {', '.join(beyond)}"
        return _only(Finding(Part.BASE, FRAME, Problem.MISSING, message))
    texts = _texts(image, measured)
    listed = check.read_contents(texts.contents)
    if listed is None or listed.frame is None:
        return _unlisted(layout.CONTENTS, is_there=layout.CONTENTS in measured.files)
    found = {n: file for n, file in measured.files.items() if n not in _APART}
    over = check.Overlay(
        areas={n: measured.files[n].sha384 for n in layout.MUTABLE if n in measured.files},
        description=texts.description,
        signature=texts.description_signature,
        name=layout.CHANGES,
    )
    findings = [*_base(texts, listed, found, layout.CONTENTS, key)]
    if measured.frame != listed.frame:
        message = "partition tables, descriptors or folders are not what they were"
        findings.append(Finding(Part.BASE, FRAME, Problem.ALTERED, message))
    findings += check.overlay(texts.contents, listed, over, key)
    as_built = {name: area.sha384 for name, area in listed.mutable.items()}
    return Report(
        tuple(findings),
        is_signed=any(texts.signature),
        is_changed=over.areas != as_built or any(over.description),
        change_is_signed=any(over.signature),
    )


def image_set(folder: Path, key: PublicKey | None) -> Report:
    """Judge a servicing image set. Raises OSError."""
    found = files_below(folder)
    texts = _Texts(*(_read(folder / n) for n in (contents.CONTENTS, contents.SIGNATURE, _SUMS)))
    listed = check.read_contents(texts.contents)
    if listed is None:
        return _unlisted(contents.CONTENTS, is_there=bool(texts.contents))
    findings = tuple(_base(texts, listed, found, contents.CONTENTS, key))
    return Report(findings, any(texts.signature), is_changed=False, change_is_signed=False)


def files_below(folder: Path) -> Mapping[str, File]:
    """Measure the files of an image set, but for the lists. Raises OSError."""
    lists = (contents.CONTENTS, contents.SIGNATURE, contents.SUMS)
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in lists:
            found[name] = manifest.measure(path)
    return found


_SUMS = contents.SUMS
_APART = (*layout.MUTABLE, *layout.SEALS)
"""Files of a medium that its list of contents does not hold as unchangeable."""


def _base(
    texts: _Texts, listed: Contents, found: Mapping[str, File], name: str, key: PublicKey | None
) -> Iterator[Finding]:
    yield from check.signature(Part.BASE, name, texts.contents, texts.signature, key)
    yield from check.files(listed.files, found)
    if texts.sums != contents.sums(listed, name, texts.contents):
        message = f"{_SUMS} and {name} do not go together: one of them was altered"
        yield Finding(Part.BASE, _SUMS, Problem.ALTERED, message)


def _end(places: tuple[Place, ...]) -> int:
    return max(place.offset + place.size for place in places)


def _unlisted(name: str, *, is_there: bool) -> Report:
    problem = Problem.UNREADABLE if is_there else Problem.MISSING
    message = f"{name} cannot be understood" if is_there else f"there is no list of contents {name}"
    return _only(Finding(Part.BASE, name, problem, message))


def _only(finding: Finding) -> Report:
    """What is said when nothing else can be judged."""
    return Report((finding,), is_signed=False, is_changed=False, change_is_signed=False)


def _texts(image: Path, measured: seal.Measured) -> _Texts:
    def read(name: str) -> bytes:
        if name not in measured.places:
            return b""
        stream.seek(measured.places[name][0].offset)
        return stream.read(measured.places[name][0].size)

    with image.open("rb") as stream:
        return _Texts(
            contents=read(layout.CONTENTS),
            signature=read(layout.SIGNATURE),
            sums=read(layout.SUMS),
            description=read(layout.CHANGES),
            description_signature=read(layout.CHANGES_SIGNATURE),
        )


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
