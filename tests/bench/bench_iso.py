"""Writing a medium against xorriso on the same tree; changing a finished one against copying it.

The tree has the real boot loaders, and kernel, initrd, root file system and image of usual sizes,
filled with bytes that do not compress. `image` is the medium without its lists of contents, which
xorriso does not write; `whole` is the medium with them (every byte is read once more and hashed),
also against xorriso followed by `sha384sum` of its tree. `map` writes the overlay map beside the
finished medium. Everything is synced before the clock stops, and the runs alternate. `customize`
is compared with `cp` of the same image.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.linux.run import run as run_command
from agent.medium import layout
from agent.medium.description import Description
from agent.medium.menu import Menu
from iso_builder import loaders, verify
from iso_builder.medium import build, customize, mapping

PAIRS = 5
SIZES_MIB = {"vmlinuz": 8, "initrd.img": 40, "rootfs.squashfs": 110, "os.cosi": 1024}
_LABEL = "TRIDENT_0123456789AB"
_TIMEOUT_S = 600.0


def run() -> dict[str, object]:
    """Measure; see the module's text."""
    with tempfile.TemporaryDirectory(prefix="bench-iso-") as folder:
        place = Path(folder)
        content, workspace = _content(place)
        tree = _tree(content, workspace, place)
        iso, other = place / "ours.iso", place / "theirs.iso"
        pairs = [
            {
                "xorriso_s": _timed(other, lambda: _xorriso(tree, workspace, other)),
                "image_s": _timed(iso, lambda: _image(content, workspace, iso)),
                "whole_s": _timed(iso, lambda: build.assemble(content, workspace, iso)),
                "sums_s": _timed(other, lambda: _sums(tree)),
                "map_s": _timed(iso, lambda: mapping.write(iso, content.description)),
            }
            for _ in range(PAIRS)
        ]
        return {
            "bytes": iso.stat().st_size,
            "pairs": pairs,
            "imageToXorriso": _ratio(pairs, ("image_s",), ("xorriso_s",)),
            "wholeToXorriso": _ratio(pairs, ("whole_s",), ("xorriso_s",)),
            "wholeToXorrisoAndSums": _ratio(pairs, ("whole_s",), ("xorriso_s", "sums_s")),
            "change": _change(iso, place),
        }


def _change(iso: Path, place: Path) -> dict[str, object]:
    """What customizing takes beyond the copy that it makes."""
    target, copy = place / "changed.iso", place / "copy.iso"
    order = customize.Order(arguments=("quiet",))
    pairs = [
        {
            "copy_s": _timed(copy, lambda: run_command(["cp", iso, copy], timeout_s=_TIMEOUT_S)),
            "customize_s": _timed(target, lambda: customize.customize(iso, order, target)),
            "verify_s": _timed(target, lambda: verify.verify(target, None)),
        }
        for _ in range(PAIRS)
    ]
    beyond = [pair["customize_s"] - pair["copy_s"] for pair in pairs]
    return {"pairs": pairs, "beyondCopyS": round(statistics.median(beyond), 2)}


def _ratio(pairs: list[dict[str, float]], ours: tuple[str, ...], theirs: tuple[str, ...]) -> float:
    ratios = [sum(pair[n] for n in ours) / sum(pair[n] for n in theirs) for pair in pairs]
    return round(statistics.median(ratios), 2)


def _timed(target: Path, work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    run_command(["sync", target], timeout_s=_TIMEOUT_S)
    return round(time.monotonic() - started, 2)


def _content(place: Path) -> tuple[build.Content, Path]:
    """A medium with an image, and the folder with its boot loaders."""
    live, workspace = place / "live", place / "loaders"
    live.mkdir()
    workspace.mkdir()
    for name, size in SIZES_MIB.items():
        with (live / name).open("wb") as stream:
            for _ in range(size):
                stream.write(os.urandom(1 << 20))
    (live / "manifest.json").write_text("{}\n")
    loaders.collect(loaders.MEDIUM, workspace)
    description = Description(builder="bench", menu=Menu(label=_LABEL))
    return build.Content(description, {}, (live / "os.cosi",), live), workspace


def _tree(content: build.Content, workspace: Path, place: Path) -> Path:
    """The files of the medium in a folder, for xorriso; large ones are links."""
    tree = place / "tree"
    for entry in build.entries(content, workspace):
        path = tree / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry.source, bytes):
            path.write_bytes(entry.source)
        else:
            path.hardlink_to(entry.source)
    # xorriso writes its boot information into the file
    loader = tree / layout.ISOLINUX
    data = loader.read_bytes()
    loader.unlink()
    loader.write_bytes(data)
    return tree


def _xorriso(tree: Path, workspace: Path, target: Path) -> None:
    command: list[str | Path]
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", _LABEL, "-o", target]
    command += ["-isohybrid-mbr", workspace / "isohdpfx.bin", "-c", layout.CATALOGUE]
    command += ["-b", layout.ISOLINUX, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    command += ["-eltorito-alt-boot", "-e", layout.EFI_IMAGE, "-no-emul-boot"]
    run_command([*command, "-isohybrid-gpt-basdat", tree], timeout_s=_TIMEOUT_S)


def _image(content: build.Content, workspace: Path, target: Path) -> None:
    build.write_image(
        target, content.description.menu.label, build.entries(content, workspace), workspace
    )


def _sums(tree: Path) -> None:
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    run_command(["sha384sum", *files], timeout_s=_TIMEOUT_S)
