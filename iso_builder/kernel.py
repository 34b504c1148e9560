"""Debian kernels: what a kernel image says of itself, and which modules an image needs.

Facts: Documentation/arch/x86/boot.rst of the kernel, field `kernel_version`. Modules are chosen by
folder; their dependencies are closed by the target's own `modules.dep`, read by modprobe.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.api.errors import Kind, TridentError
from agent.linux import run

_VERSION_POINTER = 0x20E
_HEADER_SIZE = 0x200
_INSMOD = re.compile(r"^insmod (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Identity:
    """A kernel image's release (`uname -r`) and the version of its Debian package."""

    release: str
    package_version: str

    @property
    def package(self) -> str:
        return f"linux-image-{self.release}"


def identify(image: bytes) -> Identity:
    """Read the version string of an x86 bzImage built by Debian. Raises kernel-unreadable."""
    offset = int.from_bytes(image[_VERSION_POINTER : _VERSION_POINTER + 2], "little")
    start = offset + _HEADER_SIZE
    text = image[start : start + 256].split(b"\0", 1)[0].decode("ascii", "replace")
    found = re.match(r"(\S+) .*\bDebian (\S+)", text)
    if image[0x202:0x206] != b"HdrS" or not found:
        raise TridentError(
            Kind.INVALID_INPUT,
            "kernel-unreadable",
            "the kernel image is not an x86 kernel of Debian",
            hint="choose a Debian kernel package (--kernel generic or cloud)",
        )
    return Identity(found[1], found[2])


@dataclass(frozen=True)
class Choice:
    """Folders or files of modules, relative to `kernel/`: those kept, less those dropped."""

    keep: tuple[str, ...]
    drop: tuple[str, ...] = ()

    def takes(self, module: PurePosixPath) -> bool:
        """Whether the choice names this module (path relative to `kernel/`)."""
        kept = any(module.is_relative_to(folder) for folder in self.keep)
        return kept and not any(module.is_relative_to(folder) for folder in self.drop)


def copy_modules(source: Path, target: Path, release: str, choice: Choice) -> int:
    """Copy chosen modules and what they need from one tree to another and index them there.

    Both trees hold `lib/modules/<release>`; the source has been indexed by `index`. Returns the
    number of modules. Raises no-modules when the choice names none.
    """
    base = source / "lib/modules" / release
    names = [file.stem for file in _modules(base) if choice.takes(_inside(base, file))]
    if not names:
        raise TridentError(
            Kind.INTERNAL, "no-modules", f"kernel {release} holds none of the chosen modules"
        )
    chosen = closure(source, release, names)
    folder = target / "lib/modules" / release
    for module in chosen:
        copy = folder / module.relative_to(base)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, copy)
    for listing in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(base / listing, folder / listing)
    index(target, release)
    return len(chosen)


def closure(tree: Path, release: str, names: Sequence[str]) -> list[Path]:
    """The files of the named modules and of all that modprobe would load before them."""
    command = ["modprobe", "--dirname", str(tree.resolve()), "--set-version", release]
    command += ["--config", "/dev/null", "--all", "--show-depends", *names]
    shown = run.run(command)
    return sorted({Path(path) for path in _INSMOD.findall(shown.stdout)})


def index(tree: Path, release: str) -> None:
    """Write the indexes (`modules.dep` ...) of a tree's modules. Needs kmod."""
    run.run(["depmod", "--basedir", tree.resolve(), "--config", "/dev/null", release])


def _modules(base: Path) -> Iterable[Path]:
    return sorted((base / "kernel").rglob("*.ko"))


def _inside(base: Path, module: Path) -> PurePosixPath:
    return PurePosixPath(module.relative_to(base / "kernel"))
