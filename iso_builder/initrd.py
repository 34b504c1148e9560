"""The initrd of the servicing image: busybox, kmod, sha384sum, drivers and `files/init.sh`.

The archive itself is not compressed, each module is (zstd, unpacked by kmod when it is loaded):
a machine unpacks the ten drivers it needs and not the hundreds it does not.
"""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

import zstandard

from agent.linux import run
from iso_builder import cpio, kernel, modules

_PROGRAMS = {
    "busybox": "usr/bin/busybox",
    "modprobe": "usr/bin/kmod",
    "sha384sum": "usr/bin/sha384sum",
}
_SCRIPTS = {"init": "init.sh", "bin/dhcp-event": "dhcp-event.sh"}
_MODULE_LEVEL = 15
_LIBRARY = re.compile(r"(/\S+) \(0x")


def build(tree: Path, kernel_tree: Path, release: str, scratch: Path) -> bytes:
    """The whole initrd.

    `tree` is the live system (programs, libraries, firmware), `kernel_tree` holds all modules of
    the kernel, indexed. Uses the empty folder `scratch`.
    """
    kernel.copy_modules(kernel_tree, scratch, release, modules.INITRD)
    _compress_modules(scratch)
    kernel.index(scratch, release)
    entries = [
        *_folders(),
        *_scripts(),
        *_programs(tree),
        *_files_below(scratch, "lib/modules"),
        *_files_below(tree, "lib/firmware"),
        cpio.character_device("dev/console", 5, 1),
    ]
    return cpio.encode(cpio.with_parents(entries))


def _folders() -> Iterator[cpio.Entry]:
    for name in ("dev", "etc", "proc", "run", "sys", "tmp", "newroot"):
        yield cpio.folder(name)


def _scripts() -> Iterator[cpio.Entry]:
    for name, source in _SCRIPTS.items():
        script = files("iso_builder").joinpath("files", source).read_bytes()
        yield cpio.file(name, script, 0o755)


def _programs(tree: Path) -> Iterator[cpio.Entry]:
    for name, source in _PROGRAMS.items():
        yield cpio.file(f"bin/{name}", (tree / source).read_bytes(), 0o755)
    for applet in run.run(["/usr/bin/busybox", "--list"], chroot=tree).stdout.split():
        if applet not in _PROGRAMS:
            yield cpio.link(f"bin/{applet}", "busybox")
    dynamic = [path for name, path in _PROGRAMS.items() if name != "busybox"]
    for library in libraries(tree, dynamic):
        yield cpio.file(library.lstrip("/"), (tree / library.lstrip("/")).read_bytes(), 0o755)


def libraries(tree: Path, programs: Iterable[str]) -> list[str]:
    """Absolute paths, inside the tree, of all shared libraries of its dynamic programs."""
    listed = run.run(["ldd", *(f"/{path}" for path in programs)], chroot=tree)
    return sorted(set(_LIBRARY.findall(listed.stdout)))


def _files_below(tree: Path, folder: str) -> Iterator[cpio.Entry]:
    for path in sorted((tree / folder).rglob("*")):
        name = f"{folder}/{path.relative_to(tree / folder)}"
        if path.is_symlink():
            yield cpio.link(name, str(path.readlink()))
        elif path.is_file():
            yield cpio.file(name, path.read_bytes(), stat.S_IMODE(path.stat().st_mode))


def _compress_modules(tree: Path) -> None:
    compressor = zstandard.ZstdCompressor(level=_MODULE_LEVEL)
    for module in sorted(tree.rglob("*.ko")):
        compressed = module.with_name(module.name + ".zst")
        compressed.write_bytes(compressor.compress(module.read_bytes()))
        shutil.copymode(module, compressed)
        module.unlink()
