"""modprobe.d(5) and modules-load.d(5) as text. Pure but for `disabling`, which reads.

A module's name may be written with `-` or `_`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LOAD = Path("etc/modules-load.d/modules-load.conf")
DISABLED = Path("etc/modprobe.d/modules-disabled.conf")
OPTIONS = Path("etc/modprobe.d/module-options.conf")
_OWN = Path("etc/modprobe.d")
_FOLDERS = (
    _OWN,
    Path("usr/local/lib/modprobe.d"),
    Path("usr/lib/modprobe.d"),
    Path("lib/modprobe.d"),
)
"""Where modprobe looks; of files with one name the first counts."""
_NEVER = re.compile(r"(?:/usr)?/bin/(?:false|true)")
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')


def set_loaded(text: str, *, load: Iterable[str], leave: Iterable[str]) -> str:
    """A file of modules-load.d that lists `load` beside what it listed, without `leave`."""
    wanted = {_plain(name): name for name in load}
    gone = {_plain(name) for name in leave} | set(wanted)
    kept = [line for line in text.splitlines() if _plain(line.strip()) not in gone]
    return _text([*kept, *wanted.values()])


def set_disabled(text: str, *, disable: Iterable[str], allow: Iterable[str]) -> str:
    """A file of modprobe.d that disables `disable` beside what it disabled, and never `allow`."""
    lines = set_allowed(text, allow).splitlines()
    present = {_plain(words[1]) for line in lines if _disables(words := line.split())}
    names = {_plain(name): name for name in disable}
    return _text([*lines, *(f"blacklist {n}" for key, n in names.items() if key not in present)])


def set_allowed(text: str, allow: Iterable[str]) -> str:
    """A file of modprobe.d without the lines that disable one of `allow`."""
    allowed = {_plain(name) for name in allow}
    kept = [
        line
        for line in text.splitlines()
        if not (_disables(words := line.split()) and _plain(words[1]) in allowed)
    ]
    return _text(kept)


def set_options(text: str, options: Mapping[str, Mapping[str, str]]) -> str:
    """A file of modprobe.d with `options` (module -> parameter -> value) beside its own.

    A parameter that is given replaces the one that was there.
    """
    merged: dict[str, dict[str, str]] = {}
    others = []
    for line in text.splitlines():
        match _WORD.findall(line):
            case ["options", module, *words]:
                parameters = (word.partition("=") for word in words)
                merged.setdefault(_plain(module), {}).update({k: v for k, _, v in parameters})
            case _:
                others.append(line)
    for module, given in options.items():
        quoted = {key: f'"{v}"' if re.search(r"\s", v) else v for key, v in given.items()}
        merged.setdefault(_plain(module), {}).update(quoted)
    lines = [f"options {m} {_parameters(values)}" for m, values in merged.items() if values]
    return _text([*others, *lines])


def disabling(root: Path, modules: Iterable[str]) -> dict[Path, str]:
    """The files that have to be written below `root` so that none of `modules` is disabled.

    By path relative to `root`. A file outside /etc is overridden by one of its name in /etc.
    """
    allowed = tuple(modules)
    effective: dict[str, Path] = {}
    for folder in _FOLDERS:
        for file in sorted((root / folder).glob("*.conf")):
            effective.setdefault(file.name, file)
    changed = {}
    for name, file in effective.items():
        if file.is_file() and not file.is_symlink():
            text = file.read_text(errors="replace")
            if len(set_allowed(text, allowed).splitlines()) != len(text.splitlines()):
                changed[_OWN / name] = set_allowed(text, allowed)
    return changed


def _disables(words: list[str]) -> bool:
    match words:
        case ["blacklist", _]:
            return True
        case ["install", _, program]:
            return _NEVER.fullmatch(program) is not None
    return False


def _parameters(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" if value else key for key, value in values.items())


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
