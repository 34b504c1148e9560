"""The declared machines: read from YAML files and the database, completed by groups and defaults.

Files are read again when they change on disk. A file that became wrong keeps its last good
declarations in force. What an operator added by command wins over the files.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from bootserver import configuration
from bootserver.configuration import Place, Verdict
from bootserver.documents import parse_model, parse_text, read_text
from bootserver.reports.state import Record
from bootserver.settings import (
    BootOptions,
    HostName,
    Loader,
    Mac,
    Model,
    Settings,
)
from bootserver.store import Store

_LOG = logging.getLogger(__name__)
_CODE: Final = "invalid-host-declaration"


class Declaration(BootOptions):
    """One machine an operator declared."""

    mac: Mac
    name: HostName | None = None
    address: IPv4Address | None = None
    """Reserved address; needs DHCP mode server."""
    serial: str | None = None
    """Serial number, for groups; else what the machine says of itself is used."""


class HostsFile(Model):
    """A file of declarations."""

    hosts: tuple[Declaration, ...]


@dataclass(frozen=True)
class Host:
    """A declared machine with everything that applies to it."""

    mac: str
    name: str
    address: IPv4Address | None
    loader: Loader
    kernel_arguments: tuple[str, ...]
    configuration: str | None
    """Host Configuration as written; None when none applies or its file cannot be read."""
    verdict: Verdict

    @property
    def problem(self) -> str | None:
        """Why the machine cannot be installed, in one line; None when it can."""
        if self.verdict.errors:
            return f"its Host Configuration is refused: {'; '.join(self.verdict.errors)}"
        return None


@dataclass(frozen=True)
class _Loaded:
    stamp: tuple[tuple[str, int, int], ...]
    declarations: Mapping[str, Declaration]


class Hosts:
    """Finds declared machines. Safe to use from several threads."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._place = Place.of(settings)
        self._loaded = _Loaded((), {})
        self._complaint = ""
        self._tried: object = None
        self._by_serial = any(group.match.serial for group in settings.groups)

    def find(self, mac: str, record: Record | None) -> Host | None:
        """The declared machine with this MAC; `record` is what it said of itself."""
        declaration = self._declaration(mac)
        if declaration is None:
            return None
        return self.resolve(declaration, record)

    def all(self) -> list[Host]:
        """All declared machines, by MAC."""
        records = {record.mac: record for record in self._store.records()}
        return [self.resolve(one, records.get(one.mac)) for one in self.declarations()]

    def declarations(self) -> list[Declaration]:
        """What was declared, without groups and defaults, by MAC."""
        declared = {**self._from_files(), **self._from_store()}
        return [declared[mac] for mac in sorted(declared)]

    def needs_serial(self, mac: str, record: Record | None) -> bool:
        """Whether groups match by a serial number that is not known of this machine yet."""
        declaration = self._declaration(mac)
        known = record is not None and record.serial is not None
        return bool(self._by_serial and declaration and not declaration.serial and not known)

    def load(self) -> None:
        """Read all files now. Raises invalid-host-declaration, read-input-file."""
        paths = list(_files(self._settings.hosts))
        stamp = _stamp(paths)
        self._loaded = _Loaded(stamp, _read(paths))

    def _declaration(self, mac: str) -> Declaration | None:
        stored = self._store.declaration(mac)
        if stored is not None:
            return _from_json(mac, stored)
        return self._from_files().get(mac)

    def _from_store(self) -> dict[str, Declaration]:
        return {mac: _from_json(mac, text) for mac, text in self._store.declarations().items()}

    def _from_files(self) -> Mapping[str, Declaration]:
        try:
            paths = list(_files(self._settings.hosts))
            stamp = _stamp(paths)
            if stamp not in (self._loaded.stamp, self._tried):
                self._tried = stamp
                self._loaded = _Loaded(stamp, _read(paths))
            self._complaint = ""
        except TridentError as error:
            if error.message != self._complaint:
                self._complaint = error.message
                _LOG.error("host declarations are not reloaded: %s", error.one_line())
        return self._loaded.declarations

    def resolve(self, declaration: Declaration, record: Record | None) -> Host:
        """Complete a declaration by groups and defaults, and check what it would install."""
        options = _layers(declaration, record, self._settings)
        text, failure = _configuration(options)
        verdict = (
            configuration.check(text, self._place) if text is not None else Verdict((failure,))
        )
        loaders = [one.loader for one in options if one.loader is not None]
        return Host(
            mac=declaration.mac,
            name=declaration.name or declaration.mac.replace(":", "-"),
            address=declaration.address,
            loader=loaders[-1],
            kernel_arguments=tuple(word for one in options for word in one.kernel_arguments),
            configuration=text,
            verdict=verdict,
        )


def declaration_of(host: Declaration) -> str:
    """The stored form of a declaration."""
    return host.model_dump_json(by_alias=True, exclude_defaults=True)


def architecture_name(architecture: str | None) -> str | None:
    """`x86_64`, `arm64` or `bios` of an observed architecture such as `efi-x86_64`."""
    return architecture.rpartition("-")[2] if architecture else None


def _from_json(mac: str, text: str) -> Declaration:
    return parse_text(text, Declaration, f"the stored declaration of {mac}", _CODE)


def _layers(
    declaration: Declaration, record: Record | None, settings: Settings
) -> list[BootOptions]:
    """What applies to a machine, the most general first."""
    serial = declaration.serial or (record.serial if record else None)
    architecture = architecture_name(record.architecture if record else None)
    groups = [
        group
        for group in settings.groups
        if group.match.holds(declaration.mac, serial, architecture)
    ]
    return [settings.defaults, *groups, declaration]


def _configuration(options: list[BootOptions]) -> tuple[str | None, str]:
    """Text of the most specific Host Configuration, or why there is none."""
    for one in reversed(options):
        if one.host_configuration is not None:
            return yamltext.dump(one.host_configuration), ""
        if one.config is not None:
            try:
                return read_text(one.config), ""
            except TridentError as error:
                return None, error.message
    return None, "no Host Configuration is declared for it: set config or hostConfiguration"


def _files(entries: tuple[Path, ...]) -> Iterator[Path]:
    for entry in entries:
        if entry.is_dir():
            yield from sorted(entry.glob("*.y*ml"))
        else:
            yield entry


def _stamp(paths: list[Path]) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever one of the files does. Raises read-input-file."""
    found = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            read_text(path)
            raise
        found.append((str(path), status.st_mtime_ns, status.st_ino))
    return tuple(found)


def _read(paths: list[Path]) -> dict[str, Declaration]:
    found: dict[str, tuple[Declaration, Path]] = {}
    for path in paths:
        for declaration in parse_model(path, HostsFile, _CODE).hosts:
            if declaration.mac in found:
                raise _twice(declaration.mac, found[declaration.mac][1], path)
            found[declaration.mac] = (_anchored(declaration, path), path)
    return {mac: declaration for mac, (declaration, _path) in found.items()}


def _anchored(declaration: Declaration, path: Path) -> Declaration:
    if declaration.config is None:
        return declaration
    folder = path.resolve().parent
    return declaration.model_copy(update={"config": folder / declaration.config})


def _twice(mac: str, first: Path, second: Path) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        _CODE,
        f"{mac} is declared in {first} and again in {second}",
        hint="keep one of the two declarations",
    )
