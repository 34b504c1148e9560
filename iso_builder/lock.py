"""The lock of a build: every Debian package that goes into it, by version and SHA-256.

A lock holds one list for each tree of packages, for media as well as image sets, and the digest of
the list of wheels (`requirements/target.txt`, which has hashes of its own).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.api.errors import Kind, TridentError, unreadable
from agent.linux import files
from agent.trust.contents import sha384
from iso_builder import debian, payload
from iso_builder.debian import Pin, Recipe


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tree(_Model):
    """One tree: what was asked for, and all packages that came."""

    suite: str
    variant: str
    requested: tuple[str, ...]
    packages: tuple[Pin, ...]

    def is_of(self, recipe: Recipe) -> bool:
        """Whether this is the tree of a recipe."""
        asked = (recipe.suite, str(recipe.variant), tuple(sorted(set(recipe.packages))))
        return (self.suite, self.variant, self.requested) == asked


class Lock(_Model):
    """All trees of a build."""

    version: Literal[1] = 1
    requirements: str
    """SHA-384 of requirements/target.txt."""
    trees: tuple[Tree, ...]


@dataclass(frozen=True)
class Origin:
    """Where packages come from, and in which versions; nothing given: the newest, as usual.

    `mirrors` are lines of an apt source list, or base URLs; `{suite}` in one is the suite.
    """

    lock: Lock | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def fresh_s(self) -> float | None:
        """How old what is built may be; what is locked does not age."""
        return debian.FRESH_S if self.lock is None else None

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with its packages from here. Raises lock-mismatch."""
        if self.lock is None:
            return replace(recipe, mirrors=self.mirrors)
        for tree in self.lock.trees:
            if tree.is_of(recipe):
                return replace(recipe, mirrors=self.mirrors, pins=tree.packages)
        asked = ", ".join(recipe.packages[:3])
        raise _mismatch(f"it has no tree of {recipe.suite} with {asked} and what else is asked for")


USUAL: Final = Origin()
"""The newest packages of mmdebstrap's own archive."""


def read(path: Path) -> Lock:
    """Read a lock and compare it with this checkout.

    Raises read-input-file, lock-mismatch.
    """
    lock = parse(path)
    if lock.requirements != _requirements():
        raise _mismatch("its wheels are not those of requirements/target.txt in this checkout")
    return lock


def parse(path: Path) -> Lock:
    """Read a lock, of whatever checkout. Raises read-input-file, lock-mismatch."""
    try:
        return Lock.model_validate_json(path.read_bytes())
    except OSError as error:
        hint = "name a lock that `trident-iso build --lock FILE` wrote"
        raise unreadable(path, error.strerror, hint) from error
    except ValidationError as error:
        raise _mismatch(f"{path} is no lock of this version of trident-iso") from error


def write(path: Path, recipes: Iterable[Recipe]) -> None:
    """Write the lock of what these recipes give now; makes their trees unless they are cached.

    Raises write-output-file and what `debian.archive` raises.
    """
    trees = tuple(
        Tree(
            suite=recipe.suite,
            variant=str(recipe.variant),
            requested=tuple(sorted(set(recipe.packages))),
            packages=debian.packages(recipe),
        )
        for recipe in recipes
    )
    lock = Lock(requirements=_requirements(), trees=trees)
    try:
        files.write(path, lock.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "write-output-file",
            f"the lock {path} could not be written: {error.strerror}",
            hint="name a file in a folder that is there and writable",
        ) from error


def _requirements() -> str:
    return sha384((payload.source_root() / "requirements/target.txt").read_bytes())


def _mismatch(why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "lock-mismatch",
        f"the lock does not fit: {why}",
        hint="give the options that it was written with, or name a file that is not there yet: "
        "a new lock is written to it",
    )
