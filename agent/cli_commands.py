"""What each `trident` command does with its arguments. Errors become exit statuses here."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from agent import datastore, settings
from agent.api import dump, load, yamltext
from agent.api import status as host_status
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.cli import CONFIGURATION, FAILED, OK, STILL_UP
from agent.linux import domain, files
from agent.linux.interruption import raise_on_signals
from agent.reporting import logs

if TYPE_CHECKING:
    from agent.check.report import Report
    from agent.engine.plan import Plan

_CHAIN_KINDS = ("rollback-chain", "rollback-target")

Command = Callable[[argparse.Namespace], int]

log = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; any failure is printed to standard error."""
    logs.to_stderr(arguments.verbosity)
    raise_on_signals()
    domain.keep()
    command: Command = _COMMANDS[arguments.command]
    try:
        return command(arguments)
    except TridentError as error:
        return _fail(arguments, error)
    except BrokenPipeError:
        return FAILED
    except Exception as defect:  # the door: whatever it is, the operator gets a report
        log.debug("defect", exc_info=defect)
        panic = TridentError(
            Kind.INTERNAL,
            "panic",
            f"{type(defect).__name__}: {defect}",
            hint="this is a defect of the agent: run again with --verbosity DEBUG and report it",
        )
        return _fail(arguments, panic)


def _fail(arguments: argparse.Namespace, error: TridentError) -> int:
    print(error.render(), file=sys.stderr)
    path: Path | None = getattr(arguments, "error", None)
    if path is not None:
        files.write(path, _error_text(error), mode=0o600)
    return STILL_UP if error.code == "reboot-timeout" else FAILED


def _error_text(error: TridentError) -> str:
    """The error as YAML, in upstream's form."""
    value: dict[str, JsonValue] = json.loads(json.dumps(error.to_status()))
    return yamltext.dump(value)


def _validate(arguments: argparse.Namespace) -> int:
    from agent.check import report

    reports = [_examined(path) for path in arguments.configs]
    text = report.json(reports) if arguments.format == "json" else report.text(reports)
    sys.stdout.write(text)
    return OK if all(one.valid for one in reports) else FAILED


def _examined(path: Path) -> Report:
    """What is wrong with a file; that it cannot be read is a finding like others."""
    from agent.check import findings
    from agent.check.report import Report
    from agent.check.validate import examine

    try:
        data = load.read_file(path)
    except TridentError as error:
        return Report(str(path), [findings.of_error(error)])
    return Report(str(path), examine(data), data.decode(errors="replace").removeprefix("\ufeff"))


def _schema(_: argparse.Namespace) -> int:
    from agent.api.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return OK


def _install(arguments: argparse.Namespace) -> int:
    from agent.servicing import install, reboot
    from agent.servicing.operation import Operation

    if arguments.multiboot:
        raise _unsupported("--multiboot", "installing beside another system")
    configuration = load.load_file(arguments.config)
    operations = frozenset(Operation(name) for name in arguments.allowed_operations)
    if arguments.plan:
        _print_plan(install.preview(configuration, operations), arguments.format)
        return OK
    request = install.InstallRequest(configuration, operations, datastore=settings.load().datastore)
    try:
        outcome = install.run(request)
    finally:
        _write_status(arguments.status, request.datastore)
    if outcome.reboot:
        reboot.reboot()
    return OK


def _update(arguments: argparse.Namespace) -> int:
    from agent.servicing import reboot, update
    from agent.servicing.operation import Operation

    operations = frozenset(Operation(name) for name in arguments.allowed_operations)
    request = update.UpdateRequest(
        _to_be(arguments.config, operations == {Operation.FINALIZE}),
        operations,
        datastore=settings.load().datastore,
    )
    if arguments.plan:
        _print_plan(update.preview(request), arguments.format)
        return OK
    try:
        outcome = update.run(request)
    finally:
        _write_status(arguments.status, request.datastore)
    if outcome.reboot:
        reboot.reboot()
    return OK


def _to_be(path: Path | None, may_be_staged: bool) -> HostConfiguration | None:
    """The Host Configuration at `path`, else the default one; None for the staged one."""
    if path is None and may_be_staged:
        return None
    return load.load_file(path or CONFIGURATION)


def _print_plan(plan: Plan, form: str) -> None:
    print(json.dumps(plan.to_json(), indent=2) if form == "json" else plan.to_text())


def _commit(arguments: argparse.Namespace) -> int:
    from agent.servicing import commit, reboot

    request = commit.CommitRequest(settings.load().datastore)
    try:
        outcome = commit.run(request)
    finally:
        _write_status(arguments.status, request.datastore)
    if outcome.error is None:
        return OK
    status = _fail(arguments, outcome.error)
    if outcome.reboot:
        reboot.reboot()
    return status


def _rollback(arguments: argparse.Namespace) -> int:
    from agent.servicing import reboot, rollback
    from agent.servicing.chain import TargetKind
    from agent.servicing.operation import Operation

    store_path = settings.load().datastore
    kind = TargetKind.AB if arguments.ab else TargetKind.RUNTIME if arguments.runtime else None
    if arguments.check:
        print(rollback.check(rollback.targets(store_path), kind) or "none")
        return OK
    operations = frozenset(Operation(name) for name in arguments.allowed_operations)
    request = rollback.RollbackRequest(operations, datastore=store_path, kind=kind)
    try:
        outcome = rollback.run(request)
    finally:
        _write_status(arguments.status, request.datastore)
    if outcome.reboot:
        reboot.reboot()
    return OK


def _get(arguments: argparse.Namespace) -> int:
    from agent.servicing import chain

    with datastore.opened(settings.load().datastore) as store:
        status = store.latest() or host_status.HostStatus()
        rows = store.rows() if arguments.kind in _CHAIN_KINDS else ()
    targets = chain.chain(chain.parse(rows))
    match arguments.kind:
        case "rollback-chain":
            text = chain.to_text(targets)
        case "rollback-target":
            text = yamltext.dump(targets[0].to_plain() if targets else {})
        case "configuration":
            text = dump.dump(status.spec)
        case "last-error":
            error = status.last_error
            text = yamltext.dump(error) if isinstance(error, dict) else "null\n"
        case _:
            text = host_status.dump(status)
    if arguments.outfile is not None:
        files.write(arguments.outfile, text, mode=0o600)
    else:
        sys.stdout.write(text)
    return OK


def _diagnose(arguments: argparse.Namespace) -> int:
    from agent.servicing import diagnose

    request = diagnose.DiagnoseRequest(arguments.output, arguments.journal, arguments.selinux)
    outcome = diagnose.run(request)
    print(f"{arguments.output}: {len(outcome.collected)} files")
    for failure in outcome.failures:
        print(f"not collected: {failure.item}: {failure.error}")
    return OK


def _start_network(arguments: argparse.Namespace) -> int:
    from agent.servicing import network

    network.start(load.load_file(arguments.config))
    return OK


def _write_status(path: Path | None, store_path: Path) -> None:
    """Write the Host Status as it is now, also after a failure; nothing when there is none."""
    if path is None or not store_path.exists():
        return
    with datastore.opened(store_path) as store:
        status = store.latest()
    if status is not None:
        files.write(path, host_status.dump(status), mode=0o600)


def _unsupported(what: str, feature: str) -> TridentError:
    return TridentError(
        Kind.UNSUPPORTED_CONFIGURATION,
        "unsupported-configuration",
        f"{what}: this version does not support {feature}",
        hint="nothing was changed; use a version that supports it",
    )


_COMMANDS: dict[str, Command] = {
    "validate": _validate,
    "schema": _schema,
    "install": _install,
    "update": _update,
    "commit": _commit,
    "rollback": _rollback,
    "get": _get,
    "diagnose": _diagnose,
    "start-network": _start_network,
}
