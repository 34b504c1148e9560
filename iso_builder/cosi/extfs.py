"""Reads ext2/3/4 images by debugfs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agent.linux.run import run
from iso_builder.cosi.imagefs import (
    Folder,
    Link,
    Node,
    PlainFile,
    bounded,
    corrupt,
    unreadable_name,
)

_BLOCK_SIZE_AT = 1024 + 24
_INLINE_DATA = 0x10000000
_HEAD = re.compile(r"Type: (\w+) .*?Flags: (0x[0-9a-f]+)", re.DOTALL)
_SIZE = re.compile(r" Size: (\d+)$", re.MULTILINE)
_FAST_LINK = re.compile(r'^Fast link dest: "(.*)"$', re.MULTILINE)
_STRETCH = re.compile(r"\((\d+)(?:-\d+)?(\[u\])?\):(\d+)(?:-(\d+))?")


class ExtFs:
    """An ext2/3/4 image."""

    def __init__(self, image: Path) -> None:
        self.image = image

    def look(self, path: str) -> Node | None:
        text = self._debugfs(f"stat {_quoted(path)}")
        head = _HEAD.search(text)
        if head is None:
            return None
        match head[1]:
            case "directory":
                return Folder()
            case "regular":
                return self._file(path, text, int(head[2], 16))
            case "symlink":
                fast = _FAST_LINK.search(text)
                return Link(fast[1] if fast else self._cat(path).decode("utf-8", "replace"))
            case _:
                return None

    def names(self, folder: str) -> tuple[str, ...]:
        return self._list(folder, "10")

    def folders(self, folder: str) -> tuple[str, ...]:
        return self._list(folder, "04")

    def _list(self, folder: str, mode: str) -> tuple[str, ...]:
        """Names in `folder` of what has a mode that begins with these octal digits."""
        lines = self._debugfs(f"ls -p {_quoted(folder)}").splitlines()
        entries = [line.split("/") for line in lines if line.count("/") >= 6]
        names = (entry[5] for entry in entries if entry[2].startswith(mode))
        return tuple(sorted(name for name in names if name not in (".", "..")))

    def _file(self, path: str, text: str, flags: int) -> PlainFile:
        size = _SIZE.search(text)
        if size is None:
            raise corrupt(f"the size of {path} cannot be found out")
        if flags & _INLINE_DATA:
            return PlainFile(int(size[1]), (), self._cat(path)[: int(size[1])])
        return bounded(int(size[1]), _stretches(text, self._block_bytes()))

    def _cat(self, path: str) -> bytes:
        return run(["debugfs", "-R", f"cat {_quoted(path)}", self.image]).stdout_bytes

    def _block_bytes(self) -> int:
        with self.image.open("rb") as source:
            source.seek(_BLOCK_SIZE_AT)
            return 1024 << min(int.from_bytes(source.read(4), "little"), 6)

    def _debugfs(self, request: str) -> str:
        return run(["debugfs", "-R", request, self.image]).stdout


def _stretches(text: str, block_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Place in the file, place in the image and length of each stretch; unwritten ones left out."""
    blocks = re.split(r"^(?:EXTENTS|BLOCKS):$", text, maxsplit=1, flags=re.MULTILINE)[1:]
    for found in _STRETCH.finditer("".join(blocks)):
        first, unwritten, start, end = found.groups()
        if unwritten is None:
            count = int(end or start) - int(start) + 1
            yield int(first) * block_bytes, int(start) * block_bytes, count * block_bytes


def _quoted(path: str) -> str:
    """`path` for a debugfs request, which knows quotes but no escapes."""
    if '"' in path or not path.isprintable():
        raise unreadable_name(path)
    return f'"{path}"'
