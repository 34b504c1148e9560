"""What a medium brings for the live system besides Host Configurations. Pure.

A script that runs before the installation, network settings, certificate authorities, files. Each
is one file on the medium or in its reserved area, where the later one wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote

SCRIPT: Final = "trident/pre-install"
NETWORK: Final = "trident/network.yaml"
AUTHORITY: Final = "trident/ca.pem"
FILES: Final = "trident/files"
"""Folder of files; each is named by its mode, a dash, and its path with `/` as %2F."""
OWN_NETWORK: Final = "trident.netplan"
"""The kernel argument that leaves the network to the live system: the initrd asks for none."""


@dataclass(frozen=True)
class LiveFile:
    """A file of the live system; `mode` has its permission bits."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Provisions:
    """What is brought; None where nothing is. `files` are named by their absolute paths."""

    script: bytes | None = None
    network: bytes | None = None
    authority: bytes | None = None
    files: Mapping[str, LiveFile] = field(default_factory=dict)

    def over(self, earlier: Provisions) -> Provisions:
        """These laid over others: what these do not have is the others'."""
        return Provisions(
            script=earlier.script if self.script is None else self.script,
            network=earlier.network if self.network is None else self.network,
            authority=earlier.authority if self.authority is None else self.authority,
            files={**earlier.files, **self.files},
        )

    def on_medium(self) -> Mapping[str, bytes]:
        """As files of a medium."""
        single = ((SCRIPT, self.script), (NETWORK, self.network), (AUTHORITY, self.authority))
        found = {name: data for name, data in single if data is not None}
        for path, file in self.files.items():
            found[f"{FILES}/{file.mode:04o}-{quote(path[1:], safe='')}"] = file.data
        return found

    def describe(self) -> Iterator[tuple[str, str]]:
        """What there is, for people: kind and particulars."""
        for kind, data in (
            ("script", self.script),
            ("network", self.network),
            ("authority", self.authority),
        ):
            if data is not None:
                yield kind, f"{len(data)} bytes"
        for path, file in sorted(self.files.items()):
            yield "file", f"{path} (mode {file.mode:04o}, {len(file.data)} bytes)"


NOTHING: Final = Provisions()


def is_provision(name: str) -> bool:
    """Whether a file of a medium is one of these."""
    return name in (SCRIPT, NETWORK, AUTHORITY) or name.startswith(f"{FILES}/")


def found(files: Mapping[str, bytes]) -> Provisions:
    """Those among the files of a medium; others are left out."""
    provisions = Provisions(files.get(SCRIPT), files.get(NETWORK), files.get(AUTHORITY))
    live: dict[str, LiveFile] = {}
    for name, data in sorted(files.items()):
        if name.startswith(f"{FILES}/"):
            mode, _, path = name.removeprefix(f"{FILES}/").partition("-")
            live[f"/{unquote(path)}"] = LiveFile(data, int(mode, 8))
    return replace(provisions, files=live)


def laid_over(earlier: Mapping[str, bytes], later: Provisions) -> Mapping[str, bytes]:
    """All files of a reserved area with other provisions laid over it."""
    others = {name: data for name, data in earlier.items() if not is_provision(name)}
    return {**others, **later.over(found(earlier)).on_medium()}
