"""Debian trees by mmdebstrap, cached as tar archives under the hash of their recipe.

No mirror is named anywhere: mmdebstrap's own default is used, with the updates and the security
archive of a stable suite. Needs root (`--mode=root`).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.linux import run
from iso_builder import cache, epoch

BOOTSTRAP_TIMEOUT_S = 1800.0
FRESH_S = 7 * 86_400.0
"""Older packages are fetched anew, so that security updates arrive in what is built of them."""
_UNPACK_TIMEOUT_S = 300.0
_ARCHIVE, _PACKAGES, _BEGUN = "tree.tar", "packages.json", "begun"
_LISTED = re.compile(r"^([0-9a-f]{64})  (?:.*/)?([^_/]+)_([^_/]+)_([^_/]+)\.deb$", re.MULTILINE)
_LIST_ARCHIVES = """cd "$1/var/cache/apt/archives"
find . -name '*.deb' -exec sha256sum {{}} + >>{listing}"""
_PREFERENCES = "etc/apt/preferences.d/00lock"


class Variant(StrEnum):
    """What mmdebstrap puts below the named packages."""

    EXTRACT = "extract"
    """Nothing, and the packages are unpacked without being installed."""
    ESSENTIAL = "essential"
    APT = "apt"


@dataclass(frozen=True)
class Pin:
    """One Debian package, by the digest of its archive file."""

    name: str
    version: str
    architecture: str
    sha256: str


@dataclass(frozen=True)
class Recipe:
    """A tree of Debian packages; equal recipes share one cached archive."""

    suite: str
    variant: Variant
    packages: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    leave_out: tuple[str, ...] = ()
    """dpkg path patterns that are never unpacked."""
    seed: tuple[tuple[str, str], ...] = ()
    """(path in the tree, text): files present before the packages are configured."""
    mirrors: tuple[str, ...] = ()
    """Where packages come from instead of the usual archive; see `lock.Origin`."""
    pins: tuple[Pin, ...] = ()
    """The only packages there may be; without any, the newest ones."""


def archive(recipe: Recipe) -> Path:
    """The tar archive of a recipe's tree, made unless it is cached and fresh.

    Raises missing-binary, servicing/command-failed, package-gone, package-altered.
    """
    return _tree(recipe) / _ARCHIVE


def packages(recipe: Recipe) -> tuple[Pin, ...]:
    """Every package that was unpacked into a recipe's tree. Raises like `archive`."""
    found = json.loads((_tree(recipe) / _PACKAGES).read_text())
    return tuple(Pin(**one) for one in found)


def settle(tree: Path, recipe: Recipe) -> None:
    """Give what came into a recipe's tree after its packages one and the same time."""
    epoch.settle(tree, since_s=int((_tree(recipe) / _BEGUN).read_text()))


def _tree(recipe: Recipe) -> Path:
    name = cache.key({"recipe": asdict(recipe), "format": 4})
    fresh_s = None if recipe.pins else FRESH_S
    return cache.obtain("trees", name, partial(_bootstrap, recipe), fresh_s=fresh_s)


@contextmanager
def unpacked(recipe: Recipe) -> Iterator[Path]:
    """A private, writable copy of a recipe's tree for the length of the block."""
    source = archive(recipe)
    with cache.scratch() as place:
        tree = place / "tree"
        tree.mkdir()
        command = ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
        command += ["--file", str(source), "--directory", str(tree)]
        run.run(command, timeout_s=_UNPACK_TIMEOUT_S)
        yield tree


def install(tree: Path, name: str, text: str, *, mode: int = 0o644) -> None:
    """Write one file of a tree, replacing what is there; `name` is its path inside."""
    path = tree / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def link(tree: Path, name: str, target: str) -> None:
    """Make one symbolic link of a tree, replacing what is there."""
    path = tree / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def require_root() -> None:
    """Raises not-root: Debian trees hold device nodes and files of several owners."""
    if os.geteuid() != 0:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "not-root",
            "images can only be built by root",
            hint="run the same command with sudo",
        )


def missing_files(names: Iterable[str]) -> TridentError:
    """The error for packages that no longer hold what they held."""
    return TridentError(
        Kind.EXECUTION_ENVIRONMENT,
        "package-file-missing",
        f"the Debian packages hold no {', '.join(names)}",
        hint="compare iso_builder/packages.py with the suites this archive offers",
    )


def _bootstrap(recipe: Recipe, made: Path) -> None:
    require_root()
    # mmdebstrap gives what is newer than its start the time of its start, in whole seconds.
    begun = int(time.time())
    what = f"making a {recipe.suite} tree of {len(recipe.packages)} packages"
    with context(what), cache.scratch() as scratch:
        run.run(_command(recipe, made / _ARCHIVE, scratch), timeout_s=BOOTSTRAP_TIMEOUT_S)
        found = unpacked_packages((scratch / _PACKAGES).read_text())
        require_pinned(recipe.pins, found)
    (made / _PACKAGES).write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    (made / _BEGUN).write_text(f"{begun}\n")


def unpacked_packages(listing: str) -> tuple[Pin, ...]:
    """The packages in what sha256sum says of archive files; each is listed once or more."""
    found = {
        Pin(name, version.replace("%3a", ":"), architecture, sha256)
        for sha256, name, version, architecture in _LISTED.findall(listing)
    }
    return tuple(sorted(found, key=lambda pin: (pin.name, pin.architecture, pin.version)))


def require_pinned(pins: tuple[Pin, ...], found: tuple[Pin, ...]) -> None:
    """Raises package-gone, package-altered when there are pins and others were found."""
    if not pins or set(pins) == set(found):
        return
    there = {(pin.name, pin.version, pin.architecture): pin.sha256 for pin in found}
    now = {pin.name: pin.version for pin in found}
    known = {(pin.name, pin.version, pin.architecture): pin.sha256 for pin in pins}
    altered = [f"{key[0]} {key[1]}" for key in known if there.get(key, known[key]) != known[key]]
    if altered:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "package-altered",
            f"the archive has another file than the lock for {', '.join(altered)}",
            hint="find out which is the true one; if the archive's is, write a new lock",
        )
    gone = [
        f"{name} {version} (there is {now.get(name, 'none')})"
        for name, version, architecture in known
        if (name, version, architecture) not in there
    ]
    added = [f"{key[0]} {key[1]} (not in the lock)" for key in there if key not in known]
    raise TridentError(
        Kind.EXECUTION_ENVIRONMENT,
        "package-gone",
        f"the archive cannot give what is locked: {', '.join(gone or added)}",
        hint="name an archive that keeps old versions with --mirror, or write a new lock: name a "
        "file with --lock that is not there yet",
    )


def _command(recipe: Recipe, target: Path, scratch: Path) -> list[str]:
    command = ["mmdebstrap", "--quiet", "--mode=root", f"--variant={recipe.variant}"]
    command += [f"--components={','.join(recipe.components)}"]
    command += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "3"']
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.leave_out]
    command += [f"--include={','.join(recipe.packages)}"]
    if recipe.pins:
        (scratch / "pins").write_text(preferences(recipe.pins))
        place = f'"$1/{_PREFERENCES}"'
        command += [f"--setup-hook=install -D -m 0644 {_quoted(scratch / 'pins')} {place}"]
        command += [f"--customize-hook=rm {place}"]
    # The first hook sees the archive files of essential packages, the second those of the others.
    listing = _LIST_ARCHIVES.format(listing=_quoted(scratch / _PACKAGES))
    command += [f"--extract-hook={listing}", f"--customize-hook={listing}"]
    for number, (name, text) in enumerate(recipe.seed):
        seed = scratch / str(number)
        seed.write_text(text)
        mode = "0755" if text.startswith("#!") else "0644"
        command += [f'--essential-hook=install -D -m {mode} {_quoted(seed)} "$1{name}"']
    mirrors = [mirror.replace("{suite}", recipe.suite) for mirror in recipe.mirrors]
    return [*command, recipe.suite, str(target), *mirrors]


def preferences(pins: Iterable[Pin]) -> str:
    """What makes apt choose these versions, as text of apt_preferences(5)."""
    stanzas = (
        f"Package: {pin.name}\nPin: version {pin.version}\nPin-Priority: 1001\n" for pin in pins
    )
    return "\n".join(stanzas)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
