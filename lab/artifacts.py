"""The images a scenario needs, from `trident-iso` (which keeps them in its cache).

Everything goes over the command line: the lab knows the programs from outside only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run
from lab import paths
from lab.errors import LabError
from lab.scenario import Image

_BUILD_LIMIT_S = 1800.0


@dataclass(frozen=True)
class OsImage:
    """An OS: raw GPT disk and the COSI file made of it."""

    raw: Path
    cosi: Path
    sha384: str
    """SHA-384 of the COSI file's metadata.json: what a Host Configuration names."""


def live(folder: Path) -> Path:
    """The servicing image set, built or from the cache, in `folder`/live. Needs root."""
    images = folder / "live"
    iso("live", "--output", str(images))
    return images


def os_image(image: Image, folder: Path) -> OsImage:
    """A raw disk of the scenario's own, or a sample OS image, built or from the cache.

    A sample's raw disk is in `folder`. Needs root. Raises LabError.
    """
    raw = image.raw or _sample(image, folder)
    if not raw.is_file():
        raise LabError(f"there is no raw disk {raw}")
    cosi = _cosi_of(raw)
    if image.randomized:
        cosi = _randomized(cosi)
    return OsImage(raw, cosi, metadata_sha384(cosi))


def _sample(image: Image, folder: Path) -> Path:
    more = ["--selinux"] if image.selinux else []
    raw = folder / f"os-{'-'.join([image.bootloader, image.version, *more])}.raw"
    iso(
        "os-image", "--variant", image.bootloader, "--version", image.version,
        "--output", str(raw), *more,
    )  # fmt: skip
    return raw


def _cosi_of(raw: Path) -> Path:
    """The COSI file of a raw disk, kept by the hash of the disk and of the builder."""
    sources = [
        *paths.checkout().glob("iso_builder/**/*.py"),
        *paths.checkout().glob("agent/cosi/*.py"),
    ]
    digest = hashlib.sha256()
    for path in [*sorted(sources), raw]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    cosi = paths.cache("cosi") / f"{digest.hexdigest()[:24]}.cosi"
    if not cosi.exists():
        fresh = cosi.with_suffix(".new")
        iso("cosi", "build", str(raw), "--output", str(fresh))
        fresh.replace(cosi)
    _keep(cosi)
    return cosi


def _randomized(cosi: Path) -> Path:
    """The same image with other file system UUIDs, always the same ones; kept beside it."""
    other = cosi.with_name(f"{cosi.stem}-randomized.cosi")
    if not other.exists():
        fresh = other.with_suffix(".new")
        iso("cosi", "randomize-uuids", str(cosi), "--output", str(fresh), "--seed", "lab")
        fresh.replace(other)
    _keep(other)
    return other


def _keep(cached: Path) -> None:
    """Note the use of a cached file, and keep `trident-iso cache prune` from it until we end."""
    os.utime(cached)
    descriptor = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def metadata_sha384(cosi: Path) -> str:
    """SHA-384 of the metadata.json inside a COSI file, in lower-case hexadecimal."""
    with tarfile.open(cosi) as archive:
        stream = archive.extractfile("metadata.json")
        if stream is None:
            raise LabError(f"{cosi} holds no metadata.json")
        return hashlib.sha384(stream.read()).hexdigest()


def iso(*words: str) -> None:
    """Run `trident-iso WORDS`. Raises LabError with the end of what it said."""
    argv = [str(paths.program("trident-iso")), *words]
    result = run(argv, timeout_s=_BUILD_LIMIT_S, ok=range(256))
    if result.returncode != 0:
        raise LabError(f"trident-iso {words[0]} failed: {result.stderr[-2048:].strip()}")
