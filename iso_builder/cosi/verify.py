"""Holds a COSI file against the specification and against itself: every rule, hash and bound.

What the specification says MUST be is a finding, what it says SHOULD be is advice. All of it is
collected; only what makes reading on impossible ends the list early.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from agent.api.errors import Kind, TridentError
from agent.cosi import gpt, reader
from agent.cosi import metadata as cosi_metadata
from agent.cosi.metadata import FsType, Image, ImageFile
from agent.cosi.reader import CosiImage, Member, image_files
from agent.cosi.source import Source
from agent.cosi.stream import extract_image, pour_image, read_image
from agent.linux import veritysetup
from iso_builder.cosi import layout_rules, superblock
from iso_builder.cosi.findings import Finding, Rule
from iso_builder.cosi.progress import Meter, Silence
from iso_builder.cosi.sinks import FrontSink
from iso_builder.cosi.superblock import Family, Superblock

_FAMILIES = {
    FsType.EXT2: Family.EXT,
    FsType.EXT3: Family.EXT,
    FsType.EXT4: Family.EXT,
    FsType.XFS: Family.XFS,
    FsType.VFAT: Family.FAT,
    FsType.MSDOS: Family.FAT,
}
_END_BYTES = 1024
_FRAME_HEADER_BYTES = 18
_ROOT_HASH = re.compile("[0-9a-fA-F]{64,128}")


@dataclass(frozen=True)
class Report:
    """What was found. `metadata_sha384` is None when there is no metadata."""

    metadata_sha384: str | None
    findings: tuple[Finding, ...]

    @property
    def is_good(self) -> bool:
        """Nothing but advice."""
        return all(finding.is_advice for finding in self.findings)


def verify(source: Source, expected_sha384: str | None, meter: Meter | None = None) -> Report:
    """Read the whole file and report.

    Raises load-cosi when the file cannot be read, or its metadata is not the expected one.
    """
    meter = meter or Silence()
    try:
        members = reader.index(source)
        data = reader.read_metadata(source, members)
    except TridentError as error:
        return Report(None, (Finding(Rule.ARCHIVE, _said(error)),))
    digest = reader.digest_metadata(data, expected_sha384)
    metadata, reasons = cosi_metadata.examine(data)
    findings = [Finding(Rule.METADATA, reason) for reason in reasons]
    findings += layout_rules.name(source.url)
    if metadata is not None:
        image = CosiImage(source, metadata, digest, members)
        findings += layout_rules.archive(image)
        findings += _end(source)
        findings += layout_rules.fields(metadata, json.loads(data))
        findings += _contents(image, meter)
    return Report(digest, tuple(findings))


def _end(source: Source) -> Iterator[Finding]:
    """Two empty blocks end the archive."""
    end = reader.end_of_members(source)
    marker = source.read_at(end, min(_END_BYTES, source.size - end))
    if len(marker) < _END_BYTES or any(marker):
        yield Finding(Rule.ARCHIVE, "the archive does not end with two blocks of zeroes")


def _contents(image: CosiImage, meter: Meter) -> Iterator[Finding]:
    """Everything that needs the images themselves."""
    fronts: dict[str, Superblock | None] = {}
    for file in {file.path: file for file in image_files(image.metadata)}.values():
        reason = _size_differs(image.members, file)
        if reason is None:
            sink = FrontSink(superblock.FRONT_BYTES)
            try:
                with meter.step("checking", file.path) as progress:
                    pour_image(image, file, sink, progress=progress)
                fronts[file.path] = superblock.identify(bytes(sink.content))
            except TridentError as error:
                reason = _said(error)
        reason = reason or _window_exceeded(image, file)
        if reason is not None:
            yield Finding(Rule.IMAGE, reason)
    yield from _table(image, fronts)
    for entry in image.metadata.images:
        if entry.image.path in fronts:
            yield from _filesystem(entry, fronts[entry.image.path])
        if entry.verity is not None:
            yield from _verity(image, entry, fronts, meter)


def _size_differs(members: Mapping[str, Member], file: ImageFile) -> str | None:
    member = members.get(file.path)
    if member is None:
        return f"the COSI file holds no {file.path!r}"
    if member.size != file.compressed_size:
        return (
            f"{file.path!r} has {member.size} bytes in the archive, "
            f"its metadata says {file.compressed_size}"
        )
    return None


def _window_exceeded(image: CosiImage, file: ImageFile) -> str | None:
    """Whether the image needs a larger zstd window than the metadata promises."""
    member, compression = image.members[file.path], image.metadata.compression
    if compression is None:
        return None
    front = image.source.read_at(member.offset, min(member.size, _FRAME_HEADER_BYTES))
    try:
        window = zstandard.get_frame_parameters(front).window_size
    except zstandard.ZstdError:
        return f"{file.path!r} is not compressed with zstd"
    if window <= 1 << compression.max_window_log:
        return None
    return (
        f"{file.path!r} needs a window of {window} bytes, "
        f"maxWindowLog promises 2^{compression.max_window_log}"
    )


def _table(image: CosiImage, sound: Mapping[str, Superblock | None]) -> Iterator[Finding]:
    """The partition table, and that every image fits its partition."""
    disk = image.metadata.disk
    if disk is None or not disk.gpt_regions or disk.gpt_regions[0].image.path not in sound:
        return
    try:
        table = gpt.parse(read_image(image, disk.gpt_regions[0].image), disk.size)
    except TridentError as error:
        yield Finding(Rule.TABLE, _said(error))
        return
    yield from layout_rules.table(image.metadata, disk, table)


def _filesystem(entry: Image, found: Superblock | None) -> Iterator[Finding]:
    """What the file system itself says, against what the metadata says of it."""
    path, family = entry.image.path, _FAMILIES.get(entry.fs_type)
    if family is None:
        return
    if found is None or found.family is not family:
        what = "nothing that is known" if found is None else f"a {found.family} file system"
        yield Finding(Rule.FILESYSTEM, f"{path} holds {what}, its metadata says {entry.fs_type}")
        return
    if found.uuid.lower() != entry.fs_uuid.lower():
        yield Finding(
            Rule.FILESYSTEM,
            f"{path} has the UUID {found.uuid}, its metadata says {entry.fs_uuid}",
        )
    if found.size_bytes > entry.image.uncompressed_size:
        yield Finding(
            Rule.FILESYSTEM,
            f"{path} has {entry.image.uncompressed_size} bytes, "
            f"its file system claims {found.size_bytes}",
        )


def _verity(
    image: CosiImage, entry: Image, fronts: Mapping[str, Superblock | None], meter: Meter
) -> Iterator[Finding]:
    """The hash tree belongs to the data and the root hash. Copies both to temporary files."""
    assert entry.verity is not None
    data, tree, root_hash = entry.image, entry.verity.image, entry.verity.roothash
    if not _ROOT_HASH.fullmatch(root_hash):
        yield Finding(Rule.VERITY, f"the root hash of {data.path} is {root_hash!r}")
        return
    if data.path not in fronts or tree.path not in fronts:
        return
    found = fronts[tree.path]
    if found is None or found.family is not Family.VERITY:
        yield Finding(Rule.VERITY, f"{tree.path} holds no verity hash tree")
        return
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder) / "data", Path(folder) / "tree")
        for file, place in zip((data, tree), places, strict=True):
            with meter.step("copying", file.path) as progress:
                extract_image(image, file, place, progress=progress)
        meter.note(f"checking {data.path} against its root hash")
        if not veritysetup.matches(*places, root_hash):
            yield Finding(
                Rule.VERITY, f"{data.path} is not what the root hash {root_hash} promises"
            )


def _said(error: TridentError) -> str:
    """What is wrong with the file. Raises the error again when it was about something else."""
    if error.kind is not Kind.INVALID_INPUT or error.code != "corrupt-os-image":
        raise error
    return error.message
