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
from agent.linux import efivars, files
from agent.servicing import install, reboot
from installer import fetch, medium, network, provisions, receipt
from installer.cmdline import BootParameters
from installer.console import ProgressLines

CONFIGURATION = Path("/etc/trident/config.yaml")
_SILENCE = (fetch.UNREACHABLE, network.LINK_DOWN)
Tell = Callable[[str], None]
Collect = Callable[[BootParameters, Path, Tell], None]


@dataclass(frozen=True)
class Source:
    """Where the Host Configuration comes from: a boot server that knows us as `mac`, or `file`.

    `medium` is the label of the medium that the machine was booted from, which the file was found
    on; `reinstall` says that an operator asked for what that medium did before.
    """

    file: Path | None = None
    server: str | None = None
    mac: str = ""
    medium: str | None = None
    reinstall: bool = False


@dataclass(frozen=True)
class Taken:
    """A Host Configuration, and the text that it was read from."""

    configuration: HostConfiguration
    text: bytes


@dataclass(frozen=True)
class Here:
    """What a session looks at on its machine, and how it asks."""

    keep: Path = CONFIGURATION
    """Where the Host Configuration of a server is kept, for use by hand."""
    interfaces: Path = network.INTERFACES
    variables: Path = efivars.DIRECTORY
    collect: Collect = medium.collect
    """Finds the Host Configuration of the medium."""
    patience_s: float = fetch.RETRY_FOR_S
    """How long a boot server is asked."""
    link_wait_s: float = network.LINK_WAIT_S


def choose(
    parameters: BootParameters,
    *,
    local: Path = CONFIGURATION,
    interfaces: Path = network.INTERFACES,
) -> Source:
    """A boot server on the command line first, then the file that was found on a medium.

    Raises initialization/read-cmdline when there is neither, other-machine.
    """
    if parameters.server is not None:
        if parameters.medium is not None and parameters.mac is not None:
            _require_own(parameters.mac, interfaces)
        return Source(
            server=parameters.server,
            mac=network.identity(parameters.mac),
            medium=parameters.medium,
            reinstall=parameters.reinstall,
        )
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
        taken = obtain(source, tell)
        provisions.run_script(tell)
    except TridentError as error:
        report(source, error, tell)
        raise
    outcome = install.run(
        install.InstallRequest(configuration=taken.configuration, observers=(ProgressLines(tell),))
    )
    _leave_receipt(source, taken.text, tell)
    medium.release(tell)
    if not outcome.reboot:
        tell("installed; restart the machine to boot the new system")
        return
    tell("installed; restarting")
    reboot.reboot()


def obtain(source: Source, tell: Tell, here: Here | None = None) -> Taken:
    """The Host Configuration. A medium's own is taken when no boot server answers or can be asked.

    Raises what `fetch.configuration`, `medium.collect` and the parser raise, installed-already.
    """
    if source.file is not None:
        return _read(source.file)
    if source.server is None:
        raise ValueError("a source has a file or a server")
    here = here or Here()
    try:
        network.wait_for_link(source.mac, interfaces=here.interfaces, wait_s=here.link_wait_s)
        tell(f"asking {source.server} for the Host Configuration of {source.mac}")
        answer = fetch.configuration(
            source.server, source.mac, retry_for_s=here.patience_s, tell=tell
        )
    except TridentError as error:
        if source.medium is None or error.code not in _SILENCE:
            raise
        return _from_medium(source, error, tell, here)
    if source.medium is not None and not (answer.reinstall or source.reinstall):
        # The server may have missed that the installation was finished.
        receipt.require_new(source.medium, answer.text.encode(), here.variables)
    here.keep.parent.mkdir(parents=True, exist_ok=True)
    files.write(here.keep, answer.text, mode=0o600)
    with context(f"reading the Host Configuration of {source.mac} from {source.server}"):
        return Taken(load.load(answer.text), answer.text.encode())


def _from_medium(source: Source, silence: TridentError, tell: Tell, here: Here) -> Taken:
    tell(f"{silence.message}; looking on the medium")
    try:
        parameters = BootParameters(medium=source.medium, reinstall=source.reinstall)
        here.collect(parameters, here.keep, tell)
    except TridentError as error:
        if error.code == "no-host-configuration":
            raise silence from error
        raise
    return _read(here.keep)


def _read(path: Path) -> Taken:
    text = load.read_file(path)
    return Taken(load.load_file(path), text)


def report(source: Source, error: TridentError, tell: Tell) -> None:
    """Tell the boot server, if there is one; not that it knows the machine as installed."""
    if source.server is None or error.code == fetch.NOT_GRANTED:
        return
    if not fetch.report_failure(source.server, source.mac, error):
        tell("the boot server could not be told of this failure")


def _leave_receipt(source: Source, text: bytes, tell: Tell) -> None:
    """The system is installed by now: firmware that takes no receipt is not its failure."""
    if source.medium is None:
        return
    try:
        receipt.leave(source.medium, text)
    except TridentError as error:
        tell(f"remove the medium before the next boot: {error.one_line()}")


def _require_own(mac: str, interfaces: Path) -> None:
    if mac in network.addresses(interfaces):
        return
    raise TridentError(
        Kind.INITIALIZATION,
        "other-machine",
        f"this medium was made for the machine {mac}, and this one has no such interface",
        hint="use the medium of this machine: /iso/<its MAC address>.iso on the boot server",
    )
