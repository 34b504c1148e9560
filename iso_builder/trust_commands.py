"""`trident-iso key|verify`: keys that sign what is built, and checks of what was built."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux import files
from agent.trust import keys
from agent.trust.check import Part
from agent.trust.keys import PublicKey
from iso_builder import verify
from iso_builder.medium.rewrite import not_written
from iso_builder.verify import Report

NOT_CLEAN = 2
"""Exit status of `verify` with findings."""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands; each sets `run`."""
    key = commands.add_parser("key", help="make and show keys that sign media and image sets")
    actions = key.add_subparsers(title="commands", required=True)
    generate = actions.add_parser("generate", help="make a private key FILE and FILE.pub")
    generate.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    generate.set_defaults(run=_generate)
    show = actions.add_parser("show", help="print the public key of a private key, and its name")
    show.add_argument("key", type=Path, metavar="FILE")
    show.set_defaults(run=_show)

    check = commands.add_parser("verify", help="compare a medium or image set with its own list")
    check.add_argument("path", type=Path, metavar="ISO|DIR")
    check.add_argument(
        "--public-key", type=Path, metavar="FILE", help="who must have signed it; else digests only"
    )
    check.add_argument("--format", choices=["text", "json"], default="text")
    check.set_defaults(run=_verify)


def _generate(arguments: argparse.Namespace) -> None:
    target: Path = arguments.output
    public = target.with_name(f"{target.name}.pub")
    for path in (target, public):
        if path.exists():
            raise TridentError(
                Kind.INVALID_INPUT,
                "write-output-file",
                f"{path} exists; a key is never replaced",
                hint="name another file, or move that one away",
            )
    key = keys.generate()
    try:
        files.write(target, key.private_pem(), mode=0o600)
        files.write(public, key.public.pem(), mode=0o644)
    except OSError as error:
        raise not_written(target, error) from error
    print(f"{target}: private, keep it; {public}: for whoever verifies")
    print(f"key: {key.public.identity}")


def _show(arguments: argparse.Namespace) -> None:
    key = keys.load_signing(arguments.key).public
    print(key.pem().decode(), end="")
    print(f"key: {key.identity}")


def _verify(arguments: argparse.Namespace) -> int:
    key = None if arguments.public_key is None else keys.load_public(arguments.public_key)
    report = verify.verify(arguments.path, key)
    if arguments.format == "json":
        print(json.dumps(document(report, key), indent=2))
    else:
        print("\n".join(lines(report, key)))
    return NOT_CLEAN if report.findings else 0


def document(report: Report, key: PublicKey | None) -> dict[str, object]:
    """The report for programs."""
    return {
        "good": not report.findings,
        "key": None if key is None else key.identity,
        "base": _part(report, Part.BASE) | {"signed": report.is_signed},
        "overlay": _part(report, Part.OVERLAY)
        | {"changed": report.is_changed, "signed": report.change_is_signed},
    }


def _part(report: Report, part: Part) -> dict[str, object]:
    found = report.of(part)
    return {
        "good": not found,
        "findings": [
            {"name": one.name, "problem": one.problem, "message": one.message} for one in found
        ],
    }


def lines(report: Report, key: PublicKey | None) -> Iterator[str]:
    """The report for people."""
    for finding in report.findings:
        yield f"finding: {finding.part}: {finding.message}"
    base = _trusted(report.is_signed, key)
    overlay = _trusted(report.change_is_signed, key) if report.is_changed else "as built"
    for part, state in ((Part.BASE, base), (Part.OVERLAY, overlay)):
        count = len(report.of(part))
        yield f"{part:8}{f'{count} findings' if count else f'good, {state}'}"


def _trusted(is_signed: bool, key: PublicKey | None) -> str:
    if not is_signed:
        return "not signed: digests only"
    if key is None:
        return "signed; by whom was not checked (--public-key)"
    return f"signed by {key.identity}"
