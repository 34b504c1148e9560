"""All static rules over a Host Configuration, without looking at the host or the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.api import load
from agent.api.hostconfig import HostConfiguration
from agent.api.yamltext import Positions
from agent.check import extra_checks, graph_checks, internal_params, os_checks, storage_checks
from agent.check.findings import Finding, Severity, of_parse_error
from agent.check.graph import StorageGraph
from agent.check.rules import PERMITTED
from agent.check.support import unsupported


def examine(text: str | bytes) -> list[Finding]:
    """Every finding about a document: its form, its rules, and what is not implemented.

    Features that are not implemented are warnings here: the document is valid all the same.
    """
    try:
        loaded = load.load_document(text)
    except load.ParseError as error:
        return of_parse_error(error)
    missing = (
        replace(finding.located(loaded.positions), severity=Severity.WARNING)
        for finding in unsupported(loaded.configuration)
    )
    return [*validate(loaded.configuration, loaded.positions), *missing]


def validate(hc: HostConfiguration, positions: Positions | None = None) -> list[Finding]:
    """Every finding, in upstream's order of evaluation: the first error is the one it reports.

    `positions` (from `load.load_document`) gives the findings their lines.
    """
    findings = list(_findings(hc))
    return [finding.located(positions) for finding in findings] if positions else findings


def storage_graph(hc: HostConfiguration) -> StorageGraph:
    """The graph of the storage section."""
    return StorageGraph(hc.storage, PERMITTED)


def _findings(hc: HostConfiguration) -> Iterator[Finding]:
    graph = storage_graph(hc)
    yield from storage_checks.check_encryption(hc.storage.encryption)
    yield from graph_checks.check(graph)
    yield from storage_checks.check_volumes(hc, graph)
    yield from storage_checks.check_verity(hc.storage, graph)
    yield from os_checks.check_os(hc.os)
    yield from os_checks.check_scripts(hc)
    yield from os_checks.check_management_os(hc.management_os)
    yield from os_checks.check_trident(hc.trident)
    yield from os_checks.check_root_verity(hc, graph)
    yield from os_checks.check_datastore(hc.trident, hc.storage, graph)
    yield from os_checks.check_extension_locations(hc, graph)
    yield from extra_checks.check(hc)
    yield from internal_params.check(hc.internal_params)
