"""`manifest.json` of a servicing image set: sizes, hashes, kernel, packages.

Its form: docs/architecture.md, "Servicing image set".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent.trust.contents import File
from iso_builder.kernel import Identity

_FIELDS = ("Package", "Version", "Architecture", "Status")
FILE_NAME = "manifest.json"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Package(_Model):
    name: str
    version: str
    architecture: str


class Kernel(_Model):
    release: str
    package: str


class Manifest(_Model):
    """One servicing image set; `files` maps paths relative to the manifest."""

    version: Literal[1] = 1
    architecture: Literal["x86_64"] = "x86_64"
    kernel: Kernel
    files: dict[str, File]
    packages: tuple[Package, ...]


def describe(directory: Path, kernel: Identity, packages: Iterable[Package]) -> Manifest:
    """The manifest of all files below `directory` (an earlier manifest excepted)."""
    names = sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and path.name != FILE_NAME
    )
    own = Package(name=kernel.package, version=kernel.package_version, architecture="amd64")
    return Manifest(
        kernel=Kernel(release=kernel.release, package=kernel.package),
        files={name: measure(directory / name) for name in names},
        packages=tuple(sorted((*packages, own), key=lambda package: package.name)),
    )


def write(directory: Path, manifest: Manifest) -> None:
    (directory / FILE_NAME).write_text(manifest.model_dump_json(indent=1) + "\n")


def read(directory: Path) -> Manifest:
    """The manifest of an image set. Raises OSError, ValueError."""
    return Manifest.model_validate_json((directory / FILE_NAME).read_bytes())


def renew(directory: Path, name: str) -> None:
    """Measure one file of an image set anew, after it was changed. Raises OSError, ValueError."""
    before = read(directory)
    files = before.files | {name: measure(directory / name)}
    write(directory, before.model_copy(update={"files": files}))


def installed_packages(dpkg_status: str) -> list[Package]:
    """The installed packages in the text of /var/lib/dpkg/status."""
    found = []
    for stanza in dpkg_status.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in stanza.splitlines()
            if ": " in line and line.split(": ", 1)[0] in _FIELDS
        )
        if fields.get("Status", "").endswith(" installed"):
            found.append(
                Package(
                    name=fields["Package"],
                    version=fields["Version"],
                    architecture=fields["Architecture"],
                )
            )
    return found


def measure(path: Path) -> File:
    """Size and digest of a file. Raises OSError."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha384").hexdigest()
    return File(size=path.stat().st_size, sha384=digest)
