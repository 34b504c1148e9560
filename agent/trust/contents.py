"""What a medium or a servicing image set holds, file by file: the document that is signed. Pure.

Everything is under exactly one digest: each file under its own, each area that `customize` may
overwrite under that of its content as built, and of an ISO image all other bytes (partition tables,
descriptors, folders, gaps) under one for the frame. What was laid over a medium later is described
by a second document, which names the first. Their form: docs/architecture.md, "Signed contents".
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

SUMS: Final = "SHA384SUMS"
CONTENTS: Final = "contents.json"
SIGNATURE: Final = "contents.sig"
CHANGES: Final = "changes.json"
CHANGES_SIGNATURE: Final = "changes.sig"
CHANGES_BYTES: Final = 4096
SIGNATURE_BYTES: Final = 64
TRUSTED_KEY: Final = "etc/trident/trusted.pub"
"""Where the initrd holds the public key that a medium or image set was built with."""


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class File(_Model):
    """A file that nobody may change; `size` in bytes. SHA384SUMS is not listed: it lists this."""

    size: int
    sha384: str


class Area(_Model):
    """A file that `customize` may overwrite: where it is in the image, its digest as built."""

    offset: int
    size: int
    sha384: str


class Frame(_Model):
    """An ISO image without its files: the digest of all bytes that belong to none."""

    size: int
    """Of the whole image."""
    sha384: str


class Contents(_Model):
    """Everything there is. `unsigned_changes`: changes need no signature by the same key."""

    version: Literal[1] = 1
    kind: Literal["medium", "netboot"]
    files: dict[str, File]
    frame: Frame | None = None
    mutable: dict[str, Area] = {}
    unsigned_changes: bool = False

    def dump(self, size: int | None = None) -> bytes:
        """As JSON, ending in a newline; filled with spaces up to `size` bytes."""
        text = self.model_dump_json(by_alias=True, indent=1).encode()
        return text.ljust(0 if size is None else size - 1) + b"\n"


class Changes(_Model):
    """What was laid over a medium: the digest of each mutable area as it is now.

    `contents` is the SHA-384 of the contents document: a description fits one medium only.
    """

    version: Literal[1] = 1
    contents: str
    areas: dict[str, str]

    def dump(self) -> bytes:
        """As JSON in CHANGES_BYTES bytes."""
        return self.model_dump_json(by_alias=True, indent=1).encode().ljust(CHANGES_BYTES, b"\n")


def sha384(data: bytes) -> str:
    """The digest of some bytes as every document here writes it."""
    return hashlib.sha384(data).hexdigest()


def sums(contents: Contents, name: str, text: bytes) -> bytes:
    """SHA384SUMS, for `sha384sum --check`: all unchangeable files, and the list itself.

    `name` and `text` are those of the contents document.
    """
    digests = {path: file.sha384 for path, file in contents.files.items()} | {name: sha384(text)}
    lines = (f"{digest}  {path}\n" for path, digest in sorted(digests.items()))
    return "".join(lines).encode("utf-8", "surrogateescape")
