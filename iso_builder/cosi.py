"""`trident-iso cosi build|inspect|verify|extract`: the commands around COSI files."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from agent.api.errors import Kind, TridentError
from agent.api.parttypes import Architecture
from agent.cosi import metadata as cosi_metadata
from agent.cosi.metadata import CosiMetadata, ImageFile
from agent.cosi.reader import CosiImage, image_files, open_image
from agent.cosi.source import open_source
from agent.cosi.stream import extract_image
from iso_builder import cosi_build, cosi_verify

FINDINGS = 2
"""Exit status of `verify` when something is wrong with the file."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `cosi` and its commands; each sets `run`, which returns the exit status."""
    cosi = commands.add_parser("cosi", help="build and examine COSI files")
    actions = cosi.add_subparsers(title="commands", required=True)
    _add_build(actions)
    _add_reading(actions)


def _add_build(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = actions.add_parser("build", help="make a COSI file of a raw disk image")
    build.add_argument("disk", type=Path, metavar="RAW_DISK")
    build.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    build.add_argument(
        "--arch",
        type=Architecture,
        choices=list(Architecture),
        help="architecture of the OS (default: as the image tells)",
    )
    build.add_argument("--zstd-level", type=int, choices=range(1, 20), default=9, metavar="1..19")
    build.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compression threads"
    )
    build.add_argument(
        "--no-shrink",
        dest="shrink",
        action="store_false",
        help="keep file systems at the size of their partitions",
    )
    build.set_defaults(run=_build)


def _add_reading(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    inspect = actions.add_parser("inspect", help="show what a COSI file holds")
    inspect.add_argument("image", metavar="FILE|URL")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    inspect.set_defaults(run=_inspect)
    verify = actions.add_parser("verify", help="check every hash and size of a COSI file")
    verify.add_argument("image", metavar="FILE|URL")
    verify.add_argument("--sha384", metavar="HEX", help="what metadata.json must hash to")
    verify.set_defaults(run=_verify)
    extract = actions.add_parser("extract", help="decompress the images of a COSI file")
    extract.add_argument("image", metavar="FILE|URL")
    extract.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    extract.add_argument("--image", dest="only", metavar="PATH", help="only this one")
    extract.set_defaults(run=_extract)


def _build(arguments: argparse.Namespace) -> int:
    options = cosi_build.Options(
        architecture=arguments.arch,
        level=arguments.zstd_level,
        jobs=arguments.jobs,
        shrink=arguments.shrink,
    )
    started = time.monotonic()
    with _writing(arguments.output):
        digest = cosi_build.build(arguments.disk, arguments.output, options, print)
        size = arguments.output.stat().st_size
    print(f"{arguments.output}: {size / 2**20:.1f} MiB, {time.monotonic() - started:.1f} s")
    print(f"sha384: {digest}")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    with _opened(arguments.image) as image:
        if arguments.json:
            print(json.dumps(_as_json(image), indent=2))
        else:
            print("\n".join(describe(image)))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    try:
        with _opened(arguments.image, arguments.sha384) as image:
            findings = cosi_verify.verify(image, print)
    except TridentError as error:
        if error.kind is not Kind.INVALID_INPUT or error.code != "corrupt-os-image":
            raise
        findings = (error.message,)
    for finding in findings:
        print(f"finding: {finding}")
    print(f"{arguments.image}: {f'{len(findings)} findings' if findings else 'good'}")
    return FINDINGS if findings else 0


def _extract(arguments: argparse.Namespace) -> int:
    with _opened(arguments.image) as image:
        files = {file.path: file for file in image_files(image.metadata)}
        chosen = [_chosen(files, arguments.only)] if arguments.only else list(files.values())
        with _writing(arguments.output):
            arguments.output.mkdir(parents=True, exist_ok=True)
        for file in chosen:
            target = arguments.output / _plain_name(file.path)
            extract_image(image, file, target)
            print(f"{target}: {file.uncompressed_size} bytes")
    return 0


def describe(image: CosiImage) -> Iterator[str]:
    """The lines `inspect` prints."""
    metadata = image.metadata
    loader = metadata.bootloader.type if metadata.bootloader else "not told"
    yield f"image        {image.source.url} ({image.source.size / 2**20:.1f} MiB)"
    yield f"version      {metadata.version}"
    yield f"sha384       {image.metadata_sha384}"
    yield f"id           {metadata.id or '-'}"
    yield f"architecture {metadata.os_arch}"
    yield f"os           {metadata.os_id}"
    yield f"packages     {len(metadata.os_packages or ())}"
    yield f"boot loader  {loader}"
    for entry in _boot_entries(metadata):
        yield f"  {entry}"
    if metadata.disk is not None:
        sectors = metadata.disk.lba_size
        yield f"disk         {metadata.disk.size} bytes, sectors of {sectors} bytes"
    yield "file systems"
    for filesystem in metadata.images:
        file = filesystem.image
        yield (
            f"  {filesystem.mount_point!s:<14} {filesystem.fs_type:<8} {filesystem.fs_uuid:<36} "
            f"{file.uncompressed_size:>12} bytes, {file.compressed_size:>11} compressed"
        )


def _boot_entries(metadata: CosiMetadata) -> Iterator[str]:
    loader = metadata.bootloader.systemd_boot if metadata.bootloader else None
    for entry in loader.entries if loader else ():
        yield f"{entry.type} {entry.path} kernel {entry.kernel}: {entry.cmdline}"


def _as_json(image: CosiImage) -> dict[str, object]:
    return {
        "url": image.source.url,
        "size": image.source.size,
        "metadataSha384": image.metadata_sha384,
        "metadata": json.loads(cosi_metadata.dump(image.metadata)),
        "members": [
            {"path": member.path, "offset": member.offset, "size": member.size}
            for member in image.members.values()
        ],
    }


@contextmanager
def _opened(name: str, sha384: str | None = None) -> Iterator[CosiImage]:
    url = name if "://" in name else Path(name).absolute().as_uri()
    with open_source(url) as source:
        yield open_image(source, sha384)


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Turn what the system refuses into an error with a hint. Raises write-output-file."""
    try:
        yield
    except OSError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "write-output-file",
            f"{output} could not be written: {error.strerror or error}",
            hint="name a place that is writable and has room for a copy of the disk",
        ) from error


def _chosen(files: dict[str, ImageFile], path: str) -> ImageFile:
    if path not in files:
        raise TridentError(
            Kind.INVALID_INPUT,
            "missing-os-image-filesystem",
            f"the COSI file holds no image {path!r}",
            hint=f"it holds: {', '.join(files)}",
        )
    return files[path]


def _plain_name(path: str) -> str:
    """`images/a/b.raw.zst` becomes `a_b.raw`."""
    inner = "_".join(PurePosixPath(path).parts[1:])
    for suffix in (".zst", ".rawzst", ".zstd"):
        if inner.endswith(suffix):
            return inner.removesuffix(suffix) + (".raw" if suffix == ".rawzst" else "")
    return inner
