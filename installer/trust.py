"""Whether the medium that the machine was booted from is the one that was built, and by whom.

The initrd has compared the root file system with the digest it was built with; here the rest of
what an installation uses is compared with the medium's list of contents, whose signature is checked
when the initrd names a trusted key. docs/adr/media-trust.md says what that proves and what not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.api.errors import Kind, TridentError, context
from agent.api.hostconfig import HostConfiguration
from agent.cosi.reader import open_image
from agent.cosi.source import open_source
from agent.trust import check, contents, keys
from agent.trust.check import Finding, Overlay, Part, Problem
from agent.trust.contents import Contents, File
from agent.trust.keys import PublicKey

TRUSTED_KEY = Path("/run/trident/trusted.pub")
"""Where the initrd leaves the key it was shipped with."""
_FOLDER = "trident"
_ROOTFS = f"{_FOLDER}/rootfs.squashfs"
_DESCRIPTION = f"{_FOLDER}/medium.json"
_CONTENTS, _SIGNATURE = f"{_FOLDER}/{contents.CONTENTS}", f"{_FOLDER}/{contents.SIGNATURE}"
_CHANGES = f"{_FOLDER}/{contents.CHANGES}"
_CHANGES_SIGNATURE = f"{_FOLDER}/{contents.CHANGES_SIGNATURE}"
_LISTS = (_CONTENTS, _SIGNATURE, _CHANGES, _CHANGES_SIGNATURE)


def require_trusted(root: Path, tell: Callable[[str], None], key_file: Path = TRUSTED_KEY) -> None:
    """Compare the mounted medium with its list. Raises medium-untrusted, medium-unreadable."""
    key = keys.load_public(key_file) if key_file.exists() else None
    try:
        found = list(_findings(root, key))
    except OSError as error:
        raise TridentError(
            Kind.INITIALIZATION,
            "medium-unreadable",
            f"the medium cannot be read: {error.strerror}",
            hint="put the medium in again, or write it anew",
        ) from error
    if found:
        raise _untrusted("; ".join(finding.message for finding in found))
    if key is None:
        tell("the medium agrees with its list of contents; nobody signed it")
    else:
        tell(f"the medium agrees with its list of contents, signed by {key.identity}")


def require_image(root: Path, configuration: HostConfiguration) -> None:
    """Compare the image that will be installed with the medium's description, if it is on there.

    The agent compares the rest of the image with the metadata that is digested here. Raises
    medium-untrusted, corrupt-os-image.
    """
    image = configuration.image
    parts = None if image is None else urlsplit(image.url)
    if parts is None or parts.scheme != "file":
        return
    path = Path(unquote(parts.path))
    if not path.is_relative_to(root):
        return
    listed = json.loads((root / _DESCRIPTION).read_bytes())["images"]
    with context(f"comparing {path.name} with the medium's description"):
        with open_source(path.as_uri()) as source:
            digest = open_image(source, None).metadata_sha384
        if listed.get(path.name) != digest:
            raise _untrusted(f"{path.name} is not an image that the medium was built with")


def _findings(root: Path, key: PublicKey | None) -> Iterator[Finding]:
    text = _read(root / _CONTENTS)
    listed = check.read_contents(text)
    if listed is None:
        message = f"the list of contents {_CONTENTS} is missing or cannot be understood"
        yield Finding(Part.BASE, _CONTENTS, Problem.UNREADABLE, message)
        return
    yield from check.signature(Part.BASE, _CONTENTS, text, _read(root / _SIGNATURE), key)
    expected = {name: file for name, file in listed.files.items() if _is_used(name)}
    yield from check.files(expected, dict(_measured(root, listed)))
    over = Overlay(
        areas={n: contents.sha384((root / n).read_bytes()) for n in listed.mutable},
        description=_read(root / _CHANGES),
        signature=_read(root / _CHANGES_SIGNATURE),
        name=_CHANGES,
    )
    is_free = key is None or listed.unsigned_changes
    for finding in check.overlay(text, listed, over, key):
        # A boot server lays something over an image while it is read and may describe it nowhere.
        if finding.problem is not Problem.UNDESCRIBED or not is_free:
            yield finding


def _is_used(name: str) -> bool:
    return name.startswith(f"{_FOLDER}/") and name != _ROOTFS


def _measured(root: Path, listed: Contents) -> Iterator[tuple[str, File]]:
    """What an installation reads of a medium, but for the root file system and images."""
    for path in sorted((root / _FOLDER).rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and _is_used(name) and name not in (*_LISTS, *listed.mutable):
            data = path.read_bytes()
            yield name, File(size=len(data), sha384=contents.sha384(data))


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _untrusted(why: str) -> TridentError:
    return TridentError(
        Kind.INITIALIZATION,
        "medium-untrusted",
        f"the medium is not what was built and signed: {why}",
        hint="compare the image with `trident-iso verify ISO`, and write the medium anew; changes "
        "of a signed medium are signed with `trident-iso customize --key`",
    )
