"""The reserved area of a medium: a tar archive in a file of fixed size. Pure.

Zeros are an empty archive, so an untouched area needs no case of its own. The initrd and the
installer read it with their own tar.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from agent.api.errors import Kind, TridentError

_END_BYTES = 2 * tarfile.BLOCKSIZE


def encode(files: Mapping[str, bytes], capacity: int) -> bytes:
    """The whole area with these files in it. Raises overlay-too-large with both sizes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
        needed = archive.offset + _END_BYTES
    if needed > capacity:
        raise TridentError(
            Kind.INVALID_INPUT,
            "overlay-too-large",
            f"what is to be embedded needs {needed} bytes, the medium has room for {capacity}",
            hint="embed less, or build a medium with these files (trident-iso iso --config)",
        )
    return stream.getvalue()[:capacity].ljust(capacity, b"\0")


def decode(area: bytes) -> dict[str, bytes]:
    """The files in an area. Raises iso-unreadable."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(area), mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    found[member.name] = stream.read()
    except tarfile.ReadError as error:
        if any(area):
            raise _damaged(str(error)) from error
    return found


def _damaged(why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "iso-unreadable",
        f"the medium's reserved area is damaged: {why}",
        hint="reset it: trident-iso customize ISO --reset -o OUT",
    )
