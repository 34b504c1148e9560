"""modprobe.d(5) and modules-load.d(5) as text. Pure but for `overriding`, which reads.

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
_EMPTIED = "# What was here contradicts os.modules of Trident's Host Configuration.\n"
"""modprobe overlooks a file without content, which then overrides nothing."""
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


def without_options(text: str, options: Mapping[str, Iterable[str]]) -> str:
    """A file of modprobe.d that does not set parameters of `options` (module -> names)."""
    named = {_plain(module): frozenset(names) for module, names in options.items()}
    lines = []
    for line in text.splitlines():
        match _WORD.findall(line):
            case ["options", module, *words] if _plain(module) in named:
                kept = [w for w in words if w.partition("=")[0] not in named[_plain(module)]]
                if kept == words:
                    lines.append(line)
                elif kept:
                    lines.append(f"options {module} {' '.join(kept)}")
            case _:
                lines.append(line)
    return _text(lines)


def overriding(
    root: Path, allow: Iterable[str], options: Mapping[str, Iterable[str]]
) -> dict[Path, str]:
    """The files that have to be written below `root` so that no other file says otherwise.

    None but DISABLED disables a module of `allow`, none but OPTIONS sets a parameter of `options`:
    of files that do, the one that is read last would win. By path relative to `root`; a file
    outside /etc is overridden by one of its name in /etc.
    """
    allowed = tuple(allow)
    changed = {}
    for name, file in _effective(root).items():
        if _OWN / name == DISABLED:
            continue
        text = _text(file.read_text(errors="replace").splitlines())
        wanted = set_allowed(text, allowed)
        if _OWN / name != OPTIONS:
            wanted = without_options(wanted, options)
        if wanted != text:
            changed[_OWN / name] = wanted or _EMPTIED
    return changed


def _effective(root: Path) -> dict[str, Path]:
    """The files that modprobe reads, by name; links (such as those that mask a file) left out."""
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for file in sorted((root / folder).glob("*.conf")):
            found.setdefault(file.name, file)
    return {n: file for n, file in found.items() if file.is_file() and not file.is_symlink()}


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
