"""Mounting, unmounting, and what is mounted where: mount, umount, findmnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.linux import json_output
from agent.linux.json_output import Fields
from agent.linux.run import run

_FINDMNT = ("findmnt", "--json", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS,MAJ:MIN")
_NOT_FOUND = 1


@dataclass(frozen=True)
class Mount:
    """One mounted file system."""

    target: Path
    source: str
    """Device node, or the name of a virtual file system."""
    filesystem: str
    options: tuple[str, ...]
    number: str = ""
    """`major:minor` of the device."""

    @property
    def read_only(self) -> bool:
        return "ro" in self.options


def parse(text: str) -> tuple[Mount, ...]:
    """The mounts in `findmnt --json` output, flattened, in the order they were mounted."""
    root = json_output.parse_object("findmnt", text)
    return tuple(mount for entry in root.objects("filesystems") for mount in _flatten(entry))


def at(target: Path) -> Mount | None:
    """The file system mounted exactly on `target`; the topmost when there are several."""
    result = run([*_FINDMNT, "--mountpoint", target], ok=(0, _NOT_FOUND))
    if result.returncode == _NOT_FOUND:
        return None
    return parse(result.stdout)[-1]


def describe() -> str:
    """All mounts as JSON text, for people."""
    return run(["findmnt", "--json"]).stdout


def mount(
    source: Path | str,
    target: Path,
    *,
    filesystem: str | None = None,
    options: Sequence[str] = (),
) -> None:
    """Mount `source` on the directory `target`; the type is found out when not given."""
    argv: list[str | Path] = ["mount"]
    if filesystem is not None:
        argv += ["--types", filesystem]
    if options:
        argv += ["--options", ",".join(options)]
    run([*argv, source, target])


def unmount(target: Path, *, recursive: bool = False) -> None:
    """Unmount `target` (`recursive`: and all below it). Raises command-failed when it is busy."""
    run(["umount", *(["--recursive"] if recursive else []), target])


@contextmanager
def mounted(
    source: Path | str,
    target: Path,
    *,
    filesystem: str | None = None,
    options: Sequence[str] = (),
) -> Iterator[Path]:
    """`source` on `target` for the length of the block; the directory is made when absent."""
    target.mkdir(parents=True, exist_ok=True)
    mount(source, target, filesystem=filesystem, options=options)
    try:
        yield target
    finally:
        unmount(target)


@contextmanager
def read_only(mount: Mount) -> Iterator[None]:
    """A mounted file system, written out and read-only for the length of the block.

    Everywhere: a file system that is mounted twice is read-only in both places.
    Raises command-failed when something is open for writing.
    """
    run(["mount", "--options", "remount,ro", mount.target])
    try:
        yield
    finally:
        run(["mount", "--options", "remount,rw", mount.target])


def _flatten(entry: Fields) -> Iterator[Mount]:
    yield Mount(
        target=Path(entry.required_text("target")),
        source=entry.text("source") or "none",
        filesystem=entry.required_text("fstype"),
        options=tuple((entry.text("options") or "").split(",")),
        number=entry.text("maj:min") or "",
    )
    for child in entry.objects("children"):
        yield from _flatten(child)
