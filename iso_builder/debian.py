"""Debian trees by mmdebstrap, cached as tar archives under the hash of their recipe.

No mirror is named anywhere: mmdebstrap's own default is used, with the updates and the security
archive of a stable suite. Needs root (`--mode=root`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.linux import run
from iso_builder import cache

BOOTSTRAP_TIMEOUT_S = 1800.0
FRESH_S = 7 * 86_400.0
"""Older packages are fetched anew, so that security updates arrive in what is built of them."""
_UNPACK_TIMEOUT_S = 300.0


class Variant(StrEnum):
    """What mmdebstrap puts below the named packages."""

    EXTRACT = "extract"
    """Nothing, and the packages are unpacked without being installed."""
    ESSENTIAL = "essential"
    APT = "apt"


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


def archive(recipe: Recipe) -> Path:
    """The tar archive of a recipe's tree, made unless it is cached and fresh.

    Raises missing-binary, servicing/command-failed.
    """
    name = cache.key({"recipe": asdict(recipe), "format": 2})
    tree = cache.obtain("trees", name, partial(_bootstrap, recipe), fresh_s=FRESH_S)
    return tree / "tree.tar"


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
    what = f"making a {recipe.suite} tree of {len(recipe.packages)} packages"
    with context(what), cache.scratch() as seeds:
        run.run(_command(recipe, made / "tree.tar", seeds), timeout_s=BOOTSTRAP_TIMEOUT_S)


def _command(recipe: Recipe, target: Path, seeds: Path) -> list[str]:
    command = ["mmdebstrap", "--quiet", "--mode=root", f"--variant={recipe.variant}"]
    command += [f"--components={','.join(recipe.components)}"]
    command += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "3"']
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.leave_out]
    command += [f"--include={','.join(recipe.packages)}"]
    for number, (name, text) in enumerate(recipe.seed):
        seed = seeds / str(number)
        seed.write_text(text)
        mode = "0755" if text.startswith("#!") else "0644"
        command += [f'--essential-hook=install -D -m {mode} {seed} "$1{name}"']
    return [*command, recipe.suite, str(target)]
