"""`trident-iso cosi`: the commands around COSI files. What only reads is here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.cosi.reader import CosiImage, open_image
from agent.cosi.source import Source, open_source
from iso_builder.cosi import compare, describe, making, verify
from iso_builder.cosi.compare import Difference, ImageChange, ImageState
from iso_builder.cosi.options import add_progress, progress_meter
from iso_builder.cosi.progress import Style

NOT_CLEAN = 2
"""Exit status of `verify` with findings, and of `diff` when the files differ."""
_BLOCK_KIB = compare.BLOCK_BYTES // 1024


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `cosi` and its commands; each sets `run`, which returns the exit status."""
    cosi = commands.add_parser("cosi", help="build, examine and alter COSI files")
    actions = cosi.add_subparsers(title="commands", required=True)
    making.add_build(actions)
    _add_inspect(actions)
    _add_verify(actions)
    making.add_extract(actions, opened)
    making.add_randomize(actions, opened)
    _add_diff(actions)


def tells_errors(arguments: argparse.Namespace) -> bool:
    """Whether a command tells its errors by itself: they are among its events."""
    return getattr(arguments, "progress", None) is Style.JSON


def _add_inspect(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = actions.add_parser("inspect", help="show what a COSI file holds")
    command.add_argument("image", metavar="FILE|URL")
    command.add_argument("--json", action="store_true", help="print it as JSON")
    command.add_argument("--packages", action="store_true", help="list the packages as well")
    command.set_defaults(run=_inspect)


def _add_verify(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = actions.add_parser(
        "verify", help="check a COSI file against the specification and all its hashes"
    )
    command.add_argument("image", metavar="FILE|URL")
    command.add_argument("--sha384", metavar="HEX", help="what metadata.json must hash to")
    command.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_progress(command)
    command.set_defaults(run=_verify)


def _add_diff(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = actions.add_parser("diff", help="compare two COSI files")
    command.add_argument("first", metavar="FILE|URL")
    command.add_argument("second", metavar="FILE|URL")
    command.add_argument("--json", action="store_true", help="print the differences as JSON")
    add_progress(command)
    command.set_defaults(run=_diff)


def _inspect(arguments: argparse.Namespace) -> int:
    with opened(arguments.image) as image:
        if arguments.json:
            print(json.dumps(describe.document(image), indent=2))
        else:
            print("\n".join(describe.text(image, packages=arguments.packages)))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    with (
        progress_meter(arguments, sys.stderr, "cosi-verify") as meter,
        _source(arguments.image) as source,
    ):
        report = verify.verify(source, arguments.sha384, meter)
    if arguments.json:
        print(json.dumps(_report_document(report), indent=2))
    else:
        for finding in report.findings:
            kind = "advice" if finding.is_advice else "finding"
            print(f"{kind}: {finding.message}")
        count = sum(not finding.is_advice for finding in report.findings)
        print(f"{arguments.image}: {'good' if report.is_good else f'{count} findings'}")
    return 0 if report.is_good else NOT_CLEAN


def _report_document(report: verify.Report) -> dict[str, object]:
    return {
        "good": report.is_good,
        "metadataSha384": report.metadata_sha384,
        "findings": [
            {"rule": item.rule, "message": item.message, "advice": item.is_advice}
            for item in report.findings
        ],
    }


def _diff(arguments: argparse.Namespace) -> int:
    with ExitStack() as stack:
        meter = stack.enter_context(progress_meter(arguments, sys.stderr, "cosi-diff"))
        first = stack.enter_context(opened(arguments.first))
        second = stack.enter_context(opened(arguments.second))
        difference = compare.compare(first, second, meter)
    if arguments.json:
        print(json.dumps(_difference_document(difference), indent=2))
    else:
        print("\n".join(_difference_lines(difference)))
    return 0 if difference.is_equal else NOT_CLEAN


def _difference_lines(difference: Difference) -> Iterator[str]:
    for title, changes in (
        ("metadata", difference.metadata),
        ("packages", difference.packages),
    ):
        yield f"{title}: {f'{len(changes)} differ' if changes else 'equal'}"
        for change in changes:
            yield f"  {change.name}: {change.before or '(none)'} -> {change.after or '(none)'}"
    yield "images"
    yield from (f"  {_image_line(image)}" for image in difference.images)


def _image_line(image: ImageChange) -> str:
    match image.state:
        case ImageState.EQUAL:
            return f"{image.name}: equal"
        case ImageState.DIFFERS:
            share = image.differing_bytes / image.total_bytes if image.total_bytes else 1.0
            return (
                f"{image.name}: {image.differing_bytes / 2**20:.1f} of "
                f"{image.total_bytes / 2**20:.1f} MiB differ ({share:.1%}, blocks of "
                f"{_BLOCK_KIB} KiB)"
            )
        case _:
            return f"{image.name}: {image.state}, {image.total_bytes / 2**20:.1f} MiB"


def _difference_document(difference: Difference) -> dict[str, object]:
    def changes(items: tuple[compare.Change, ...]) -> list[dict[str, str | None]]:
        return [{"name": c.name, "before": c.before, "after": c.after} for c in items]

    return {
        "equal": difference.is_equal,
        "metadata": changes(difference.metadata),
        "packages": changes(difference.packages),
        "images": [
            {
                "name": image.name,
                "state": image.state,
                "differingBytes": image.differing_bytes,
                "totalBytes": image.total_bytes,
            }
            for image in difference.images
        ],
    }


@contextmanager
def opened(name: str) -> Iterator[CosiImage]:
    """The COSI file behind a path or a URL, for the length of the block."""
    with _source(name) as source:
        yield open_image(source, None)


def _source(name: str) -> Source:
    return open_source(name if "://" in name else Path(name).absolute().as_uri())
