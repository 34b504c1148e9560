"""`trident-installer`: the door. Started by `trident-install.service` in the live image.

Exit status: 0 installed (the machine restarts) or nothing left to do, 2 not installed. The unit's
failure opens root shells on the consoles.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import agent
from agent.api.errors import TridentError
from agent.reporting import logs
from installer import cmdline, medium, provisions, session, trust

KERNEL_COMMAND_LINE = Path("/proc/cmdline")
NOT_INSTALLED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Install unattended, or only collect what to install. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    logs.to_stderr("WARN")
    try:
        parameters = cmdline.parse(KERNEL_COMMAND_LINE.read_text())
        if arguments.collect:
            _collect(parameters)
        else:
            provisions.trust_authorities()
            session.run(_source(arguments, parameters), _tell)
    except TridentError as error:
        _explain(error)
        return NOT_INSTALLED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trident-installer",
        description="Install this machine as its Host Configuration says. Destroys what is on the "
        "disks that it names.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {agent.__version__}")
    parser.add_argument(
        "--config", type=Path, help="install from this Host Configuration, not from a boot server"
    )
    parser.add_argument(
        "--collect",
        action="store_true",
        help="only put in place what the medium brings, and find this machine's Host Configuration "
        "there and on sticks",
    )
    return parser


def _collect(parameters: cmdline.BootParameters) -> None:
    """What the medium brings; its Host Configuration too, unless a boot server has it."""
    if parameters.medium is not None:
        trust.require_trusted(medium.MOUNT_POINT, _tell)
        medium.bring(_tell)
    if parameters.server is None:
        medium.collect(parameters, session.CONFIGURATION, _tell)


def _source(arguments: argparse.Namespace, parameters: cmdline.BootParameters) -> session.Source:
    if arguments.config is not None:
        return session.Source(file=arguments.config)
    if parameters.medium is not None and parameters.server is not None:
        # By hand, nothing may have been collected from this medium before.
        trust.require_trusted(medium.MOUNT_POINT, _tell)
    return session.choose(parameters)


def _tell(line: str) -> None:
    print(f"trident-installer: {line}", flush=True)


def _explain(error: TridentError) -> None:
    print(f"\n{error.render()}\n", flush=True)
    _tell("not installed. The log is /var/log/trident-full.log")
    _tell("to try again: systemctl restart trident-collect; systemctl start trident-install")


if __name__ == "__main__":
    sys.exit(main())
