"""Extension images made on the spot: a file system with a release file and a greeting."""

from __future__ import annotations

import hashlib
from pathlib import Path

from agent.linux.run import run

_EXT4_BYTES = 2 << 20


def sysext(
    folder: Path, name: str, greeting: str = "hello", *, form: str = "squashfs", **fields: str
) -> dict[str, str]:
    """A sysext `name` below `folder`, with /usr/share/NAME; its entry for a Host Configuration.

    `fields` of the release file are added to, or replace, those that fit any host.
    """
    release = {"ID": "_any", "SYSEXT_ID": name} | fields
    return image(
        folder / f"{name}-{greeting}.raw",
        {
            f"usr/lib/extension-release.d/extension-release.{name}": _text(release),
            f"usr/share/{name}": f"{greeting}\n",
        },
        form=form,
    )


def image(path: Path, contents: dict[str, str], *, form: str = "squashfs") -> dict[str, str]:
    """An image of `contents` (path -> text) as a file system; its entry, without a path."""
    tree = path.with_suffix(".tree")
    for name, text in contents.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    path.unlink(missing_ok=True)
    if form == "squashfs":
        run(["mksquashfs", tree, path, "-quiet", "-no-progress", "-all-root"])
    else:
        with path.open("wb") as stream:
            stream.truncate(_EXT4_BYTES)
        run(["mkfs.ext4", "-q", "-F", "-d", tree, path])
    return entry(path)


def entry(path: Path) -> dict[str, str]:
    """What a Host Configuration says of an image file."""
    digest = hashlib.sha384(path.read_bytes()).hexdigest()
    return {"url": f"file://{path}", "sha384": digest}


def _text(fields: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in fields.items() if value)
