"""`diagnose`: everything that helps to find out what is wrong with a host, in one file.

Changes nothing, needs no lock, works without a datastore. What cannot be collected is listed and
does not stop the rest. Secrets are taken out of everything; documents that cannot be understood,
in which they could not be found, are left out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

import agent
from agent import datastore, settings
from agent.api import status as host_status
from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE
from agent.api.status import HostStatus
from agent.datastore import Row
from agent.linux import files, journalctl
from agent.reporting.logs import FULL_LOG, METRICS_LOG
from agent.reporting.redaction import HIDDEN, Redactor, secrets
from agent.servicing import bundle, host_description
from agent.servicing.bundle import Bundle

CONFIGURATION = Path("/etc/trident/config.yaml")
TEMPORARY_DATASTORE = Path("/tmp/trident-datastore.sqlite")
AUDIT_LOG = Path("/var/log/audit/audit.log")
PCRLOCK = Path("/var/lib/systemd/pcrlock.json")
FSTAB = Path("/etc/fstab")
LIMIT_BYTES = 64 << 20
"""Of a longer text only the end is collected."""


@dataclass(frozen=True)
class DiagnoseRequest:
    """Where the bundle goes and what is asked for beside the usual."""

    output: Path
    journal: bool = False
    selinux: bool = False
    root: Path = Path("/")
    """Where the host's files are."""
    limit_bytes: int = LIMIT_BYTES
    """How much is collected of one text."""


@dataclass(frozen=True)
class Collected:
    """One member of the bundle."""

    path: str
    size_bytes: int
    description: str


@dataclass(frozen=True)
class Failure:
    """What could not be collected, and why."""

    item: str
    error: str


@dataclass
class Outcome:
    """What the bundle holds and lacks."""

    collected: list[Collected] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @contextmanager
    def attempt(self, item: str) -> Iterator[None]:
        """A failure in the block is noted and goes no further."""
        try:
            yield
        except TridentError as error:
            self.failures.append(Failure(item, error.one_line()))
        except OSError as error:
            why = f"{error.filename or 'the file'}: {error.strerror or error}"
            self.failures.append(Failure(item, why))
        except ValueError as error:
            self.failures.append(Failure(item, str(error)))


def run(request: DiagnoseRequest) -> Outcome:
    """Write the bundle. Raises internal/generate-diagnostics-bundle when that is impossible."""
    outcome = Outcome()
    stores = _read_stores(request.root, outcome)
    configuration = _read_configuration(request.root, outcome)
    documents = [_parsed(row) for store in stores for row in store.rows]
    known = {one for document in (*documents, configuration) for one in secrets(document)}
    with (
        tempfile.TemporaryDirectory(prefix="trident-diagnose-") as scratch,
        bundle.written(request.output) as target,
    ):
        collector = _Collector(request, outcome, target, Redactor(known), Path(scratch))
        collector.collect(stores, configuration)
    return outcome


@dataclass(frozen=True)
class _Store:
    """A datastore's rows, whether or not it is whole."""

    member: str
    path: Path
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class _Collector:
    """One run: what has been found out goes into the bundle."""

    request: DiagnoseRequest
    outcome: Outcome
    target: Bundle
    redactor: Redactor
    scratch: Path

    def collect(self, stores: Iterable[_Store], configuration: JsonValue) -> None:
        """Collect everything; the report, which lists the rest, comes last."""
        stores = tuple(stores)
        self._logs({store.path.parent for store in stores})
        for store in stores:
            self._store(store)
        self._files(configuration)
        if self.request.journal:
            self._journal()
        if self.request.selinux:
            self._text(AUDIT_LOG, "selinux/audit.log", "SELinux audit log")
        self._report(_latest(stores))

    def _logs(self, directories: set[Path]) -> None:
        self._text(FULL_LOG, "logs/trident-full.log", "Log of the last operation")
        self._text(METRICS_LOG, "logs/trident-metrics.jsonl", "Metrics of the last operation")
        for directory in sorted(directories):
            for path in sorted(directory.glob("trident-*")):
                if path.suffix in (".log", ".jsonl"):
                    kind = "Metrics" if "metrics" in path.name else "Log"
                    self._own_text(path, f"logs/historical/{path.name}", f"{kind} kept earlier")

    def _files(self, configuration: JsonValue) -> None:
        self._text(FSTAB, "files/fstab", "File system table")
        if self._at(settings.CONFIGURATION).exists():
            self._text(settings.CONFIGURATION, "files/trident.conf", "Settings of the agent")
        if configuration is not None:
            document = self.redactor.document(configuration)
            text = yamltext.dump(document) if isinstance(document, dict) else ""
            self._bytes(text.encode(), "files/config.yaml", "Host Configuration file")
        if self._at(PCRLOCK).exists():
            self._text(PCRLOCK, "tpm/pcrlock.json", "TPM access policy")

    def _journal(self) -> None:
        file = self.scratch / "journal"
        with self.outcome.attempt("full journal"):
            journalctl.whole(file)
        if file.exists():
            self._own_text(file, "full-journal", "Journal of the host")

    def _store(self, store: _Store) -> None:
        """A new file with redacted rows: what a database has deleted is not in it."""
        copy = self.scratch / store.member
        with self.outcome.attempt(f"datastore {store.path}"):
            with datastore.created(copy) as made:
                made.restore([self._redacted(row) for row in store.rows])
            self._add_file(store.member, copy, f"Datastore {store.path}, without secrets")

    def _redacted(self, row: Row) -> Row:
        document = self.redactor.document(_parsed(row))
        contents = yamltext.dump(document) if isinstance(document, dict) else HIDDEN
        return Row(row.id, row.time, contents)

    def _text(self, path: Path, member: str, description: str) -> None:
        self._own_text(self._at(path), member, description)

    def _own_text(self, path: Path, member: str, description: str) -> None:
        """A text file, by way of a redacted copy."""
        copy = self.scratch / "text"
        with self.outcome.attempt(member):
            with copy.open("w", encoding="utf-8") as stream:
                stream.writelines(self.redactor.lines(_tail(path, self.request.limit_bytes)))
            self._add_file(member, copy, description)

    def _add_file(self, member: str, path: Path, description: str) -> None:
        size_bytes = self.target.add_file(member, path)
        self.outcome.collected.append(Collected(member, size_bytes, description))

    def _bytes(self, content: bytes, member: str, description: str) -> None:
        self.target.add(member, content)
        self.outcome.collected.append(Collected(member, len(content), description))

    def _at(self, path: Path) -> Path:
        return files.inside(self.request.root, path)

    def _report(self, status: HostStatus | None) -> None:
        described = host_description.describe(status, self.outcome.attempt)
        recorded = yamltext.parse(host_status.dump(status)).value if status else None
        report: dict[str, JsonValue] = {
            "timestamp": datetime.now(UTC).isoformat(),
            "version": agent.__version__,
            "hostDescription": self.redactor.document(described),
            "hostStatus": self.redactor.document(recorded),
            "collectedFiles": [
                {"path": one.path, "sizeBytes": one.size_bytes, "description": one.description}
                for one in self.outcome.collected
            ],
            "collectionFailures": [
                {"item": one.item, "error": self.redactor.text(one.error)}
                for one in self.outcome.failures
            ],
        }
        self.target.add("report.json", json.dumps(report, indent=2).encode() + b"\n")


def _read_stores(root: Path, outcome: Outcome) -> tuple[_Store, ...]:
    """All datastores that there are; one that is damaged as far as it can be read."""
    usual = Path(DEFAULT_DATASTORE)
    configured = usual
    with outcome.attempt("trident.conf"):
        configured = settings.load(files.inside(root, settings.CONFIGURATION)).datastore
    paths = {"datastore.sqlite": usual, "datastore-tmp.sqlite": TEMPORARY_DATASTORE}
    if configured not in paths.values():
        paths["datastore-configured.sqlite"] = configured
    found = []
    for member, path in paths.items():
        own = files.inside(root, path)
        if own.exists():
            found.append(_Store(member, own, _rows(own, outcome)))
    if not found:
        with outcome.attempt("host status"):
            raise TridentError(
                Kind.INVALID_INPUT, "host-not-provisioned", f"there is no datastore at {configured}"
            )
    return tuple(found)


def _rows(path: Path, outcome: Outcome) -> tuple[Row, ...]:
    with outcome.attempt(f"datastore {path}"), datastore.opened(path) as store:
        return store.rows()
    return datastore.salvage(path)


def _read_configuration(root: Path, outcome: Outcome) -> JsonValue:
    """The Host Configuration file as plain values; None when there is none that can be read."""
    path = files.inside(root, CONFIGURATION)
    if not path.exists():
        return None
    with outcome.attempt("files/config.yaml"):
        try:
            return yamltext.parse(path.read_bytes()).value
        except yamltext.YamlError as error:
            raise ValueError(f"it is left out, its secrets cannot be found: {error}") from error
    return None


def _parsed(row: Row) -> JsonValue:
    try:
        return yamltext.parse(row.contents).value
    except yamltext.YamlError:
        return None


def _latest(stores: Iterable[_Store]) -> HostStatus | None:
    """The status that counts: of the configured datastore, if that is another one than usual."""
    for store in sorted(stores, key=lambda one: one.member != "datastore-configured.sqlite"):
        for row in reversed(store.rows):
            try:
                return host_status.parse(row.contents)
            except TridentError:
                continue
    return None


def _tail(path: Path, limit_bytes: int) -> Iterator[str]:
    """The lines of a text file; of a long one its end."""
    with path.open("rb") as stream:
        size = path.stat().st_size
        if size > limit_bytes:
            stream.seek(size - limit_bytes)
            stream.readline()
            yield f"[the first {stream.tell()} bytes are left out]\n"
        for line in stream:
            yield line.decode("utf-8", "replace")
