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
    epoch,
    initrd,
    kernel,
    livesystem,
    loaders,
    manifest,
    modules,
    packages,
    payload,
    pins,
)
from iso_builder.lock import USUAL, Origin

_PROGRAMS = (payload.AGENT, payload.INSTALLER)
_COPY_TIMEOUT_S = 300.0
_SQUASH_TIMEOUT_S = 900.0
_SOURCE = Path(__file__).parent
_BOOT_SOURCES = (
    *("initrd.py", "kernel.py", "cpio.py", "modules.py", "epoch.py"),
    *("files/init.sh", "files/dhcp-event.sh"),
)
_SOURCES = (
    *_BOOT_SOURCES,
    *("live.py", "livesystem.py", "loaders.py", "manifest.py", "pins.py", "files/live"),
)


@dataclass(frozen=True)
class Options:
    """What an operator may choose about a servicing image."""

    kernel: packages.KernelFlavour = packages.KernelFlavour.GENERIC
    firmware: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    compression_level: int = 6
    """zstd level of the squashfs."""
    origin: Origin = USUAL


def build(options: Options) -> Path:
    """The cached directory of the image set; everything in it is finished and must not change.

    Raises not-root, missing-binary, servicing/command-failed.
    """
    inputs = {
        "compression": options.compression_level,
        "recipes": [asdict(recipe) for recipe in recipes(options)],
        "epoch": epoch.seconds(),
        "payload": payload.fingerprint(_PROGRAMS),
        "builder": cache.fingerprint([_SOURCE / name for name in _SOURCES]),
    }
    name = cache.key(inputs)
    return cache.obtain("live", name, partial(_build, options), fresh_s=options.origin.fresh_s)


def copy(source: Path, target: Path) -> None:
    """Copy an image set to `target`; files of an older set there are replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_name(f".{copy.name}.new")
        run.run(["cp", "--reflink=auto", path, unfinished], timeout_s=_COPY_TIMEOUT_S)
        unfinished.rename(copy)


def recipes(options: Options) -> list[debian.Recipe]:
    """Every tree of packages that goes into an image set, or a medium made of one."""
    own = [packages.live(options.firmware, options.include), packages.kernel(options.kernel)]
    return [options.origin.of(recipe) for recipe in (*own, *loaders.recipes())]


def _build(options: Options, made: Path) -> None:
    recipe, *_ = recipes(options)
    boot = _boot_layer(options)
    with debian.unpacked(recipe) as tree:
        identity = kernel.identify((boot / "vmlinuz").read_bytes())
        livesystem.configure(tree)
        run.run(["cp", "--archive", "--link", boot / "modules", tree / "usr/lib/modules"])
        payload.install(tree, _PROGRAMS, payload.Interpreter(packages.PYTHON))
        epoch.settle(tree / payload.HOME)
        debian.settle(tree, recipe)
        _squash(tree, made / "rootfs.squashfs", options.compression_level)
        dpkg_status = (tree / "var/lib/dpkg/status").read_text()
    shutil.copyfile(boot / "vmlinuz", made / "vmlinuz")
    pin = pins.root_file_system(manifest.measure(made / "rootfs.squashfs").sha384)
    (made / "initrd.img").write_bytes((boot / "initrd.img").read_bytes() + pin)
    loaders.collect(loaders.NETBOOT, made, options.origin)
    listed = manifest.installed_packages(dpkg_status)
    manifest.write(made, manifest.describe(made, identity, listed))


def _squash(tree: Path, target: Path, level: int) -> None:
    command = ["mksquashfs", str(tree), str(target), "-noappend", "-quiet", "-no-progress"]
    command += ["-mkfs-time", "0", "-comp", "zstd", "-Xcompression-level", str(level)]
    command += ["-xattrs", "-wildcards", "-e", *livesystem.LEFT_OUT]
    with context("compressing the root file system"):
        run.run(command, timeout_s=_SQUASH_TIMEOUT_S)


def _boot_layer(options: Options) -> Path:
    """The cached kernel, initrd and modules (`vmlinuz`, `initrd.img`, `modules/<release>`)."""
    recipe, kernel_recipe, *_ = recipes(options)
    inputs = {
        "epoch": epoch.seconds(),
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
            epoch.settle(made / "modules")

    return cache.obtain("boot", cache.key(inputs), make, fresh_s=options.origin.fresh_s)
