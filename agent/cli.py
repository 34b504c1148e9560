"""The door: `trident` on the command line. The only place that turns errors into exit statuses.

0: done; 1: the command line could not be understood or logging not set up; 2: the command failed;
3: a reboot was asked for and the machine is still up. Everything heavy is imported by the command
that needs it (`agent.cli_commands`): `trident --version` is quick on slow machines.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import agent

OK, SETUP_FAILED, FAILED, STILL_UP = 0, 1, 2, 3
CONFIGURATION = Path("/etc/trident/config.yaml")
_VERBOSITIES = ("OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_OPERATIONS = ("stage", "finalize")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(SETUP_FAILED, f"{self.prog}: error: {message}\n")


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[_Parser]


def parser() -> argparse.ArgumentParser:
    """The command line grammar."""
    top = _Parser(prog="trident", description="on-host OS lifecycle agent")
    top.add_argument("-V", "--version", action="version", version=f"trident {agent.__version__}")
    top.add_argument(
        "-v",
        "--verbosity",
        choices=_VERBOSITIES,
        type=str.upper,
        default="DEBUG",
        help="least level of what is logged to standard error (default: %(default)s)",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_validate(commands)
    commands.add_parser("schema", help="print the JSON Schema of the Host Configuration")
    _add_install(commands)
    _add_update(commands)
    commit = commands.add_parser("commit", help="check what was booted and make it count")
    _add_report_files(commit)
    _add_rollback(commands)
    _add_get(commands)
    _add_diagnose(commands)
    network = commands.add_parser("start-network")
    _add_configuration(network)
    return top


def _add_validate(commands: _Commands) -> None:
    validate = commands.add_parser("validate", help="check Host Configurations")
    validate.add_argument(
        "configs",
        nargs="*",
        type=Path,
        default=[CONFIGURATION],
        metavar="CONFIG",
        help=f"Host Configurations (default: {CONFIGURATION})",
    )
    _add_format(validate)


def _add_install(commands: _Commands) -> None:
    install = commands.add_parser("install", help="install this machine anew")
    _add_configuration(install)
    _add_operations(install)
    _add_report_files(install)
    install.add_argument("--multiboot", action="store_true", help="install beside another system")
    _add_plan(install)


def _add_update(commands: _Commands) -> None:
    update = commands.add_parser("update", help="update the running system")
    update.add_argument(
        "config",
        nargs="?",
        type=Path,
        metavar="CONFIG",
        help=f"the Host Configuration (default: {CONFIGURATION}; to finalize only: the staged one)",
    )
    _add_operations(update)
    _add_report_files(update)
    _add_plan(update)


def _add_rollback(commands: _Commands) -> None:
    rollback = commands.add_parser("rollback", help="go back to the system before the last update")
    which = rollback.add_mutually_exclusive_group()
    which.add_argument(
        "--ab", action="store_true", help="to the system on the other volume, past runtime updates"
    )
    which.add_argument(
        "--runtime", action="store_true", help="only if the last update was a runtime update"
    )
    rollback.add_argument(
        "--check", action="store_true", help="print what could be undone: ab, runtime or none"
    )
    _add_operations(rollback)
    _add_report_files(rollback)


def _add_get(commands: _Commands) -> None:
    get = commands.add_parser("get", help="print what the agent knows of this host, as YAML")
    get.add_argument(
        "kind",
        nargs="?",
        choices=("status", "configuration", "last-error", "rollback-chain", "rollback-target"),
        default="status",
    )
    get.add_argument("-o", "--outfile", type=Path, metavar="PATH", help="write here instead")


def _add_diagnose(commands: _Commands) -> None:
    diagnose = commands.add_parser("diagnose", help="collect what helps to find a fault")
    diagnose.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the .tar.zst to write"
    )
    diagnose.add_argument("--journal", action="store_true", help="with the host's journal")
    diagnose.add_argument("--selinux", action="store_true", help="with SELinux' audit log")


def _add_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "config",
        nargs="?",
        type=Path,
        default=CONFIGURATION,
        metavar="CONFIG",
        help="the Host Configuration (default: %(default)s)",
    )


def _add_operations(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allowed-operations",
        type=_operations,
        default=frozenset(_OPERATIONS),
        metavar="stage,finalize",
        help="what may be done, comma-separated, may be empty (default: both)",
    )


def _add_report_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("-s", "--status", type=Path, metavar="PATH", help="write the Host Status")
    command.add_argument("-e", "--error", type=Path, metavar="PATH", help="write the error, if any")


def _add_plan(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--plan", action="store_true", help="print what would be done and touch nothing"
    )
    _add_format(command)


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", choices=("text", "json"), default="text")


def _operations(text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = names - set(_OPERATIONS)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown operation: {', '.join(sorted(unknown))}")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = parser().parse_args(argv)
    gc.disable()  # importing leaves no garbage to look for, and looking takes its time
    from agent.cli_commands import run

    gc.enable()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
