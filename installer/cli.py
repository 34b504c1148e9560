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
from installer import cmdline, medium, session, trust

KERNEL_COMMAND_LINE = Path("/proc/cmdline")
NOT_INSTALLED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Install unattended, or only collect what to install. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    logs.to_stderr("WARN")
    try:
        parameters = cmdline.parse(KERNEL_COMMAND_LINE.read_text())
        if arguments.collect:
            medium.collect(parameters, session.CONFIGURATION, _tell)
        else:
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
        help="only find this machine's Host Configuration on the medium and on sticks",
    )
    return parser


def _source(arguments: argparse.Namespace, parameters: cmdline.BootParameters) -> session.Source:
    if arguments.config is not None:
        return session.Source(file=arguments.config)
    if parameters.medium is not None and parameters.server is not None:
        # Nothing was collected from this medium, so nobody has looked at it yet.
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
