"""Reads XFS images by xfs_db. Their log must be clean: nothing is replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agent.linux.run import run
from iso_builder.cosi.imagefs import Folder, Link, Node, bounded, unreadable_name

_MODE = re.compile(r"^core\.mode = (0[0-7]+)$", re.MULTILINE)
_SIZE = re.compile(r"^core\.size = (\d+)$", re.MULTILINE)
_TARGET = re.compile(r'^u3\.symlink = "(.*)"$', re.MULTILINE)
_STRETCH = re.compile(
    r"^data offset (\d+) startblock \d+ \((\d+)/(\d+)\) count (\d+) flag (\d)$", re.MULTILINE
)
_NAME = re.compile(
    r"^\d+\s+\d+\s+(regular|directory)\s+0x[0-9a-f]+\s+\d+ (.*) \(good\)\s*$", re.MULTILINE
)


class XfsFs:
    """An XFS image."""

    def __init__(self, image: Path) -> None:
        self.image = image

    def look(self, path: str) -> Node | None:
        text = self._xfs_db(f"path {_word(path)}", "print core.mode core.size")
        mode, size = _MODE.search(text), _SIZE.search(text)
        if mode is None or size is None:
            return None
        match int(mode[1], 8) & 0o170000:
            case 0o040000:
                return Folder()
            case 0o100000:
                places = self._xfs_db(f"path {_word(path)}", "bmap")
                return bounded(int(size[1]), self._stretches(places))
            case 0o120000:
                target = _TARGET.search(self._xfs_db(f"path {_word(path)}", "print u3.symlink"))
                return Link(target[1]) if target else None
            case _:
                return None

    def names(self, folder: str) -> tuple[str, ...]:
        return self._list(folder, "regular")

    def folders(self, folder: str) -> tuple[str, ...]:
        return self._list(folder, "directory")

    def _list(self, folder: str, kind: str) -> tuple[str, ...]:
        found = _NAME.findall(self._xfs_db(f"ls {_word(folder)}"))
        names = (name for what, name in found if what == kind)
        return tuple(sorted(name for name in names if name not in (".", "..")))

    def _stretches(self, text: str) -> Iterator[tuple[int, int, int]]:
        block_bytes, group_blocks = self._geometry()
        for logical, group, block, count, unwritten in _STRETCH.findall(text):
            if unwritten == "0":
                start = (int(group) * group_blocks + int(block)) * block_bytes
                yield int(logical) * block_bytes, start, int(count) * block_bytes

    def _geometry(self) -> tuple[int, int]:
        """Bytes of a block and blocks of an allocation group, from the superblock."""
        with self.image.open("rb") as source:
            front = source.read(88)
        return int.from_bytes(front[4:8], "big"), int.from_bytes(front[84:88], "big")

    def _xfs_db(self, *commands: str) -> str:
        argv: list[str | Path] = ["xfs_db", "-r"]
        for command in commands:
            argv += ["-c", command]
        return run([*argv, self.image], ok=(0, 1)).stdout


def _word(path: str) -> str:
    """`path` for a command of xfs_db, which knows no quotes."""
    if not path.isprintable() or any(
        character.isspace() or character in "\"'" for character in path
    ):
        raise unreadable_name(path)
    return path
