"""The servicing image set: kernel, initrd, squashfs, network boot loaders and their manifest.

Three cached layers, so that a change of our own programs costs seconds: Debian trees; kernel,
initrd and modules; the finished set. See docs/architecture.md, "Servicing image set".
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from agent.api.errors import context
from agent.linux import run
from iso_builder import (
    cache,
    debian,
    initrd,
    kernel,
    livesystem,
    loaders,
    manifest,
    modules,
    packages,
    payload,
)

_PROGRAMS = (payload.AGENT, payload.INSTALLER)
_COPY_TIMEOUT_S = 300.0
_SQUASH_TIMEOUT_S = 900.0
_SOURCE = Path(__file__).parent
_BOOT_SOURCES = (
    *("initrd.py", "kernel.py", "cpio.py", "modules.py"),
    *("files/init.sh", "files/dhcp-event.sh"),
)
_SOURCES = (*_BOOT_SOURCES, "live.py", "livesystem.py", "loaders.py", "manifest.py", "files/live")


@dataclass(frozen=True)
class Options:
    """What an operator may choose about a servicing image."""

    kernel: packages.KernelFlavour = packages.KernelFlavour.GENERIC
    firmware: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    compression_level: int = 6
    """zstd level of the squashfs."""


def build(options: Options) -> Path:
    """The cached directory of the image set; everything in it is finished and must not change.

    Raises not-root, missing-binary, servicing/command-failed.
    """
    inputs = {
        "options": asdict(options),
        "recipes": [asdict(recipe) for recipe in _recipes(options)],
        "payload": payload.fingerprint(_PROGRAMS),
        "builder": cache.fingerprint([_SOURCE / name for name in _SOURCES]),
    }
    name = cache.key(inputs)
    return cache.obtain("live", name, partial(_build, options), fresh_s=debian.FRESH_S)


def export(options: Options, target: Path) -> None:
    """Build and copy the image set to `target`; files of an older set there are replaced."""
    source = build(options)
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_name(f".{copy.name}.new")
        run.run(["cp", "--reflink=auto", path, unfinished], timeout_s=_COPY_TIMEOUT_S)
        unfinished.rename(copy)


def _build(options: Options, made: Path) -> None:
    recipe = packages.live(options.firmware, options.include)
    boot = _boot_layer(options, recipe)
    with debian.unpacked(recipe) as tree:
        identity = kernel.identify((boot / "vmlinuz").read_bytes())
        livesystem.configure(tree)
        run.run(["cp", "--archive", "--link", boot / "modules", tree / "usr/lib/modules"])
        payload.install(tree, _PROGRAMS, payload.Interpreter(packages.PYTHON))
        _squash(tree, made / "rootfs.squashfs", options.compression_level)
        dpkg_status = (tree / "var/lib/dpkg/status").read_text()
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(boot / name, made / name)
    loaders.collect(loaders.NETBOOT, made)
    listed = manifest.installed_packages(dpkg_status)
    manifest.write(made, manifest.describe(made, identity, listed))


def _recipes(options: Options) -> list[debian.Recipe]:
    return [
        packages.live(options.firmware, options.include),
        packages.kernel(options.kernel),
        packages.signed_loaders(),
        packages.newer_loaders(),
    ]


def _squash(tree: Path, target: Path, level: int) -> None:
    command = ["mksquashfs", str(tree), str(target), "-noappend", "-quiet", "-no-progress"]
    command += ["-mkfs-time", "0", "-comp", "zstd", "-Xcompression-level", str(level)]
    command += ["-xattrs", "-wildcards", "-e", *livesystem.LEFT_OUT]
    with context("compressing the root file system"):
        run.run(command, timeout_s=_SQUASH_TIMEOUT_S)


def _boot_layer(options: Options, recipe: debian.Recipe) -> Path:
    """The cached kernel, initrd and modules (`vmlinuz`, `initrd.img`, `modules/<release>`)."""
    kernel_recipe = packages.kernel(options.kernel)
    inputs = {
        "recipes": [asdict(kernel_recipe), asdict(recipe)],
        "sources": cache.fingerprint([_SOURCE / name for name in _BOOT_SOURCES]),
    }

    def make(made: Path) -> None:
        with debian.unpacked(kernel_recipe) as tree, debian.unpacked(recipe) as system:
            image = next((tree / "boot").glob("vmlinuz-*"))
            release = kernel.identify(image.read_bytes()).release
            kernel.index(tree, release)
            with context("building the initrd"), cache.scratch() as scratch:
                archive = initrd.build(system, tree, release, scratch)
            (made / "initrd.img").write_bytes(archive)
            shutil.copyfile(image, made / "vmlinuz")
            with cache.scratch() as scratch:
                kernel.copy_modules(tree, scratch, release, modules.LIVE)
                shutil.move(scratch / "lib/modules", made / "modules")

    return cache.obtain("boot", cache.key(inputs), make, fresh_s=debian.FRESH_S)
