"""One unattended installation, from the kernel command line to the restart.

The Host Configuration comes from the boot server, or from a medium (`installer.medium` has put it
at `/etc/trident/config.yaml`).
Nothing is tried twice after the agent began to work: a failure is shown, reported and left to an
operator, so a machine never installs in a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.api import load
from agent.api.errors import Kind, TridentError, context
from agent.api.hostconfig import HostConfiguration
from agent.linux import files
from agent.servicing import install, reboot
from installer import fetch, medium, network, receipt
from installer.cmdline import BootParameters
from installer.console import ProgressLines

CONFIGURATION = Path("/etc/trident/config.yaml")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Where the Host Configuration comes from: a boot server that knows us as `mac`, or `file`.

    `medium` is the label of the medium that the file was found on.
    """

    file: Path | None = None
    server: str | None = None
    mac: str = ""
    medium: str | None = None


def choose(parameters: BootParameters, *, local: Path = CONFIGURATION) -> Source:
    """A boot server on the command line first, then the file that was found on a medium.

    Raises initialization/read-cmdline when there is neither.
    """
    if parameters.server is not None:
        return Source(server=parameters.server, mac=network.identity(parameters.mac))
    if local.exists():
        return Source(file=local, medium=parameters.medium)
    raise TridentError(
        Kind.INITIALIZATION,
        "read-cmdline",
        "there is nothing to install: no boot server (trident.server) and no Host Configuration",
        hint=f"boot with trident.server=URL, or put a Host Configuration at {local}",
    )


def run(source: Source, tell: Tell) -> None:
    """Install what the source asks for and restart the machine.

    Destroys what is on the disks of the Host Configuration. Returns only when the configuration
    forbids the restart. Raises TridentError; the boot server then knows it, if there is one.
    """
    try:
        configuration = obtain(source, tell)
    except TridentError as error:
        if source.server is not None and not fetch.report_failure(source.server, source.mac, error):
            tell("the boot server could not be told of this failure")
        raise
    outcome = install.run(
        install.InstallRequest(configuration=configuration, observers=(ProgressLines(tell),))
    )
    _leave_receipt(source, tell)
    medium.release(tell)
    if not outcome.reboot:
        tell("installed; restart the machine to boot the new system")
        return
    tell("installed; restarting")
    reboot.reboot()


def _leave_receipt(source: Source, tell: Tell) -> None:
    """The system is installed by now: firmware that takes no receipt is not its failure."""
    if source.file is None or source.medium is None:
        return
    try:
        receipt.leave(source.medium, source.file.read_bytes())
    except TridentError as error:
        tell(f"remove the medium before the next boot: {error.one_line()}")


def obtain(source: Source, tell: Tell, *, keep: Path = CONFIGURATION) -> HostConfiguration:
    """The parsed Host Configuration; one from a server is kept at `keep` for use by hand."""
    if source.file is not None:
        return load.load_file(source.file)
    if source.server is None:
        raise ValueError("a source has a file or a server")
    network.wait_for_link(source.mac)
    tell(f"asking {source.server} for the Host Configuration of {source.mac}")
    text = fetch.configuration(source.server, source.mac, tell=tell)
    keep.parent.mkdir(parents=True, exist_ok=True)
    files.write(keep, text, mode=0o600)
    with context(f"reading the Host Configuration of {source.mac} from {source.server}"):
        return load.load(text)
