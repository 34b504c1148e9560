"""What two media, two servicing image sets or two locks have in common and what not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from agent.api.errors import Kind, TridentError, unreadable
from agent.medium import layout
from iso_builder import lock, manifest, verify
from iso_builder.cosi.compare import Change, changes
from iso_builder.manifest import Manifest
from iso_builder.medium import customize, seal

_ISO_MAGIC_AT = 32769
_SHOWN_DIGITS = 16


class Subject(StrEnum):
    """What can be compared."""

    MEDIUM = "medium"
    IMAGE_SET = "netboot"
    LOCK = "lock"


@dataclass(frozen=True)
class Facts:
    """One of the two, as tables of names and values."""

    subject: Subject
    properties: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    configurations: Mapping[str, str] = field(default_factory=dict)
    """Texts of Host Configurations, as the machine will find them."""


@dataclass(frozen=True)
class Text:
    """A Host Configuration that differs: lines of a unified diff."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """Everything that differs."""

    properties: tuple[Change, ...]
    packages: tuple[Change, ...]
    files: tuple[Change, ...]
    arguments: tuple[Change, ...]
    configurations: tuple[Text, ...]

    @property
    def is_equal(self) -> bool:
        found = (self.properties, self.packages, self.files, self.arguments, self.configurations)
        return not any(found)


def contrast(first: Path, second: Path) -> Contrast:
    """Compare two of a kind. Raises not-comparable, read-input-file, iso-unreadable."""
    before, after = read(first), read(second)
    if before.subject is not after.subject:
        raise _not_comparable(
            f"{first} is a {before.subject}, {second} is a {after.subject}: not one kind"
        )
    return Contrast(
        properties=tuple(changes(before.properties, after.properties)),
        packages=tuple(changes(before.packages, after.packages)),
        files=tuple(changes(before.files, after.files)),
        arguments=tuple(changes(_words(before.arguments), _words(after.arguments))),
        configurations=tuple(_texts(before.configurations, after.configurations)),
    )


def read(path: Path) -> Facts:
    """Look at a medium, an image set or a lock. Raises like `contrast`."""
    try:
        if path.is_dir():
            return _image_set(path)
        with path.open("rb") as stream:
            stream.seek(_ISO_MAGIC_AT)
            is_medium = stream.read(5) == b"CD001"
        return _medium(path) if is_medium else _lock(path)
    except OSError as error:
        hint = "name a medium, an image set or a lock that trident-iso made"
        raise unreadable(error.filename or path, error.strerror, hint) from error
    except ValueError as error:
        raise _not_comparable(f"{path} is no medium, image set or lock of this version") from error


def _lock(path: Path) -> Facts:
    read = lock.Lock.model_validate_json(path.read_bytes())
    packages = {
        f"{tree.suite}/{pin.name}.{pin.architecture}": f"{pin.version} sha256:{_short(pin.sha256)}"
        for tree in read.trees
        for pin in tree.packages
    }
    requested = {
        f"{tree.suite}/{tree.variant}/{name}": "requested"
        for tree in read.trees
        for name in tree.requested
    }
    properties = {"requirements": _short(read.requirements), **requested}
    return Facts(Subject.LOCK, properties, packages)


def _image_set(folder: Path) -> Facts:
    listed = manifest.read(folder)
    files = {name: _short(file.sha384) for name, file in verify.files_below(folder).items()}
    return Facts(Subject.IMAGE_SET, _kernel(listed), _packages(listed), files)


def _medium(image: Path) -> Facts:
    state = customize.read(image)
    measured = seal.measure(image)
    files = {name: _short(f.sha384) for name, f in measured.files.items()}
    listed = Manifest.model_validate_json(_content(image, measured, layout.MANIFEST))
    built = {
        name: _content(image, measured, name)
        for name in state.built.configurations
        if name in measured.places
    }
    texts = {**built, **state.files}
    menu = state.menu
    return Facts(
        Subject.MEDIUM,
        {
            **_kernel(listed),
            "label": menu.label,
            "builder": state.built.builder,
            "unattended": str(menu.unattended).lower(),
            "countdown": f"{menu.countdown_s} s",
            **{f"image {name}": _short(digest) for name, digest in state.built.images.items()},
        },
        _packages(listed),
        {name: digest for name, digest in files.items() if name not in layout.SEALS},
        menu.arguments,
        {name: text.decode("utf-8", "replace") for name, text in texts.items()},
    )


def _kernel(listed: Manifest) -> Mapping[str, str]:
    return {"kernel": listed.kernel.release, "architecture": listed.architecture}


def _packages(listed: Manifest) -> Mapping[str, str]:
    return {f"{one.name}.{one.architecture}": one.version for one in listed.packages}


def _content(image: Path, measured: seal.Measured, name: str) -> bytes:
    (place,) = measured.places[name]
    with image.open("rb") as stream:
        stream.seek(place.offset)
        return stream.read(place.size)


def _words(arguments: tuple[str, ...]) -> Mapping[str, str]:
    """Arguments by their names; a repeated one keeps all its values, in their order."""
    found: dict[str, list[str]] = {}
    for word in arguments:
        name, _, value = word.partition("=")
        found.setdefault(name, []).append(value or "set")
    return {name: " ".join(values) for name, values in found.items()}


def _texts(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Text]:
    for change in changes(first, second):
        before, after = ((text or "").splitlines() for text in (change.before, change.after))
        lines = difflib.unified_diff(before, after, "first", "second", lineterm="")
        yield Text(change.name, tuple(lines))


def _short(digest: str) -> str:
    return digest[:_SHOWN_DIGITS]


def _not_comparable(message: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "not-comparable",
        message,
        hint="name two media, two folders of `trident-iso live`, or two locks",
    )
