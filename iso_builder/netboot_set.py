"""A servicing image set as it is handed to an operator: copied, pinned to a key, listed, signed."""

from __future__ import annotations

from pathlib import Path

from agent.linux import files
from agent.trust import contents
from agent.trust.contents import Contents
from agent.trust.keys import SigningKey
from iso_builder import live, manifest, pins, verify
from iso_builder.medium.rewrite import not_written

_INITRD = "initrd.img"


def export(options: live.Options, target: Path, key: SigningKey | None) -> None:
    """Build the set and write it to the folder `target`; files of an older set are replaced.

    With a key the initrd names it as trusted, and the list of contents is signed. Raises what
    `live.build` raises, write-output-file.
    """
    source = live.build(options)
    try:
        (target / contents.SIGNATURE).unlink(missing_ok=True)
        live.copy(source, target)
        if key is not None:
            _pin(target, key)
        seal(target, key)
    except OSError as error:
        raise not_written(target, error) from error


def seal(folder: Path, key: SigningKey | None) -> None:
    """Write the list of a finished set, its sums and its signature. Raises OSError, ValueError.

    Other files than the set's own are not listed.
    """
    own = (*manifest.read(folder).files, manifest.FILE_NAME)
    found = verify.files_below(folder)
    listed = Contents(kind="netboot", files={name: found[name] for name in sorted(own)})
    text = listed.dump()
    files.write(folder / contents.CONTENTS, text)
    files.write(folder / contents.SUMS, contents.sums(listed, contents.CONTENTS, text))
    if key is not None:
        files.write(folder / contents.SIGNATURE, key.sign(text))


def _pin(folder: Path, key: SigningKey) -> None:
    initrd = folder / _INITRD
    files.write(initrd, initrd.read_bytes() + pins.trusted_key(key.public))
    manifest.renew(folder, _INITRD)
