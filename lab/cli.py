"""The door: `trident-lab` on the command line. Turns errors into messages and exit statuses.

Exit statuses of `run`: 0 all holds, 1 something does not, 2 it could not be tried, 3 the virtual
hardware failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.linux.run import find
from lab import cut_table, demo, report, runner, scenario, suite, toolbox
from lab.errors import LabError
from lab.report import EXIT_STATUS, Result

Command = Callable[[argparse.Namespace], int]
_NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ip": "iproute2",
    "curl": "curl",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "swtpm": "swtpm",
    "dnsmasq": "dnsmasq-base",
    "nginx": "nginx-light",
    "openssl": "openssl",
}


def parser() -> argparse.ArgumentParser:
    """The command line grammar; each command sets `call`."""
    top = argparse.ArgumentParser(
        prog="trident-lab", description="virtual machines on private networks"
    )
    commands = top.add_subparsers(title="commands", required=True)

    run = commands.add_parser("run", help="run one scenario file")
    run.add_argument("scenario", type=Path)
    run.add_argument("--report", type=Path, help="write a JSON report to this file")
    run.set_defaults(call=_run, root=True)

    show = commands.add_parser("demo", help="PXE-boot, install and boot an empty machine")
    show.add_argument("--keep", action="store_true", help="leave everything running")
    show.add_argument("--report", type=Path, help="write a JSON report to this file")
    show.set_defaults(call=_demo, root=True)

    stop = commands.add_parser("stop", help="end what `demo --keep` left running")
    stop.set_defaults(call=lambda _arguments: demo.stop(), root=True)

    every = commands.add_parser("suite", help="run all scenarios; resumable")
    every.add_argument(
        "names", nargs="*", metavar="NAME", help="only these scenarios, or `toolbox`"
    )
    every.add_argument("--smoke", action="store_true", help="only the small set")
    every.add_argument("--results", type=Path, required=True, help="Markdown table to write")
    every.set_defaults(call=_suite, root=True)

    tools = commands.add_parser("toolbox", help="run pytest in a guest with md, dm and EFI")
    tools.add_argument("pytest", nargs="*", default=[], help="arguments of pytest, after --")
    tools.set_defaults(
        call=lambda given: toolbox.run(given.pytest or toolbox.DEFAULT_ARGUMENTS), root=True
    )

    table = commands.add_parser("cuts", help="write the table of power cuts in reports")
    table.add_argument("report", type=Path, nargs="+")
    table.add_argument("--results", type=Path, required=True, help="Markdown table to write")
    table.set_defaults(call=_cuts, root=False)

    checker = commands.add_parser("check", help="check scenario files without running them")
    checker.add_argument("scenario", type=Path, nargs="+")
    checker.set_defaults(call=_check, root=False)

    schema = commands.add_parser("schema", help="print the JSON Schema of scenario files")
    schema.set_defaults(call=_schema, root=False)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = parser().parse_args(argv)
    call: Command = arguments.call
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.root:
            _require_host()
        return call(arguments)
    except LabError as error:
        print(error.render(), file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except Exception as error:  # noqa: BLE001  the door: errors of the programs' own kinds
        render: Any = getattr(error, "render", None)
        print(render() if render else f"error: {error!r}", file=sys.stderr)
    return EXIT_STATUS[Result.ERROR]


def _run(arguments: argparse.Namespace) -> int:
    wanted = scenario.load(arguments.scenario)
    told = runner.run(arguments.scenario.stem, wanted)
    if arguments.report is not None:
        report.write(arguments.report, told.to_json())
    for machine in told.machines if told.result is not Result.PASSED else ():
        print(f"serial log of {machine.name}: {machine.serial_log}")
    return EXIT_STATUS[told.result]


def _demo(arguments: argparse.Namespace) -> int:
    return demo.run_kept(arguments.report) if arguments.keep else demo.run(arguments.report)


def _suite(arguments: argparse.Namespace) -> int:
    return suite.run(arguments.results, smoke=arguments.smoke, names=arguments.names)


def _cuts(arguments: argparse.Namespace) -> int:
    arguments.results.write_text(cut_table.of_reports(arguments.report), encoding="utf-8")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    for path in arguments.scenario:
        scenario.load(path)
        print(f"{path}: is a scenario")
    return 0


def _schema(_arguments: argparse.Namespace) -> int:
    print(json.dumps(scenario.schema(), indent=2))
    return 0


def _require_host() -> None:
    missing = sorted(package for tool, package in _NEEDED.items() if find(tool) is None)
    if missing:
        raise LabError("host tools are missing", hint="sudo apt-get install " + " ".join(missing))
    if os.geteuid() != 0:
        raise LabError(
            "network namespaces, taps and image building need root",
            hint="sudo make demo (or sudo .venv/bin/trident-lab ...)",
        )
